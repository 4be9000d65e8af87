# SPDX-License-Identifier: Apache-2.0
# table.awk -v num=N -v runs=N medians.txt results.txt: the Markdown of `make bench-peers`.
# The first file has the figures (medians.awk), the second the head lines of sdb_bench.

function scaled(v) {
    if (v >= 1e7) return sprintf("%.1fM", v / 1e6)
    if (v >= 1e6) return sprintf("%.2fM", v / 1e6)
    if (v >= 1e5) return sprintf("%.0fk", v / 1e3)
    if (v >= 1e3) return sprintf("%.1fk", v / 1e3)
    return sprintf("%.0f", v)
}

function title(row,    part, text) {
    split(row, part, "\t")
    text = part[1]
    if (part[2] + 0 > 1) text = text ", " part[2] " threads"
    if (part[3] + 0 > 1) text = text ", batch " part[3]
    return text
}

function head(first, extra,    e) {
    printf "\n| %s |", first
    for (e = 1; e <= engines; e++) printf " %s |", engine[e]
    printf "%s\n|---|", extra == "" ? "" : " " extra " |"
    for (e = 1; e <= engines; e++) printf "--:|"
    print extra == "" ? "" : "--:|"
}

# The highest rate on the row; of the peers only if `peers`.
function best(row, peers,    e, v, most) {
    most = 0
    for (e = 1; e <= engines; e++) {
        if (peers && engine[e] == "sdb") continue
        v = figure[row, engine[e], "ops"]
        if (v > most) most = v
    }
    return most
}

function rates(    r, e, v, row, ratio) {
    head("operations/s", "sdb / best peer")
    for (r = 1; r <= rows; r++) {
        row = order[r]
        printf "| %s |", title(row)
        for (e = 1; e <= engines; e++) {
            if (!((row, engine[e], "ops") in figure)) { printf " - |"; continue }
            v = figure[row, engine[e], "ops"]
            printf v == best(row, 0) ? " **%s** |" : " %s |", scaled(v)
        }
        ratio = "-"
        if ((row, "sdb", "ops") in figure && best(row, 1) > 0)
            ratio = sprintf("%.2f", figure[row, "sdb", "ops"] / best(row, 1))
        printf " %s |\n", ratio
    }
}

function plain(name, label, format, divisor, changes,    r, e, row) {
    head(label, "")
    for (r = 1; r <= rows; r++) {
        row = order[r]
        if (changes && row !~ /^(fill|overwrite|delete|readwhilewriting.write)/) continue
        printf "| %s |", title(row)
        for (e = 1; e <= engines; e++) {
            if ((row, engine[e], name) in figure)
                printf " " format " |", figure[row, engine[e], name] / divisor
            else
                printf " - |"
        }
        print ""
    }
}

BEGIN { FS = "\t" }

FNR == 1 { file++ }

file == 1 {
    row = $1 "\t" $2 "\t" $3
    if (!(row in seen)) { seen[row] = 1; order[++rows] = row }
    if (!($4 in known)) { known[$4] = 1; engine[++engines] = $4 }
    figure[row, $4, "ops"] = $5
    figure[row, $4, "p50"] = $6
    figure[row, $4, "p99"] = $7
    figure[row, $4, "cpu"] = $8
    figure[row, $4, "disk"] = $9
    figure[row, $4, "written"] = $10 / ($11 > 0 ? $11 : 1)
}

file == 2 && /^#/ && !/not built/ && !/filled with/ {
    if (!($0 in said)) { said[$0] = 1; lines[++said_count] = substr($0, 3) }
}

END {
    print "# sdb and its peers"
    print ""
    how = (runs > 1) ? "medians of " runs " runs, engines taking turns" : "one run"
    printf "%d entries, %s. The fastest is bold.\n", num, how
    rates()
    plain("p50", "median latency, µs", "%.2f", 1, 0)
    plain("p99", "99th percentile, µs", "%.2f", 1, 0)
    plain("cpu", "CPU, µs an operation", "%.2f", 1, 0)
    plain("written", "bytes written an operation", "%.0f", 1, 1)
    plain("disk", "MB on disk when closed", "%.1f", 1e6, 1)
    print "\nHow it was run:\n"
    for (i = 1; i <= said_count; i++) {
        if (lines[i] ~ /^(threads|sdb_bench)/ && i > 4) continue
        print "- " lines[i]
    }
}
