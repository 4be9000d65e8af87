# SPDX-License-Identifier: Apache-2.0
# table.awk medians.txt goals.txt results.txt: the Markdown of `make bench-peers`.
# The first file has the figures (medians.awk), the second what sdb is held to, the third the head
# lines of sdb_bench and what failed.

function scaled(v) {
    if (v >= 1e7) return sprintf("%.1fM", v / 1e6)
    if (v >= 1e6) return sprintf("%.2fM", v / 1e6)
    if (v >= 1e5) return sprintf("%.0fk", v / 1e3)
    if (v >= 1e3) return sprintf("%.1fk", v / 1e3)
    return sprintf("%.0f", v)
}

function trimmed(text) {
    gsub(/^ +| +$/, "", text)
    return text
}

function is_peer(name) {
    return name != "sdb"
}

function is_btree(name) {
    return name == "lmdb" || name == "sqlite" || name == "wiredtiger"
}

function has(label, workload, name, kind) {
    return ((label, workload, name, kind) in best_of)
}

# Who of those that `against` names is best on the line; "" if nobody ran it.
function opponent(label, workload, kind, against,    e, name, v, most, who) {
    who = ""
    for (e = 1; e <= engines; e++) {
        name = engine[e]
        if (against == "peers") { if (!is_peer(name)) continue }
        else if (against == "btrees") { if (!is_btree(name)) continue }
        else if (name != against) continue
        if (!has(label, workload, name, kind)) continue
        v = best_of[label, workload, name, kind]
        if (who == "" || (kind == "rate" && v > most) || (kind != "rate" && v < most)) {
            most = v
            who = name
        }
    }
    return who
}

function shown(kind, v, cpu) {
    if (kind == "rate") return scaled(v) sprintf(" (%.2f µs)", cpu)
    if (kind == "size") return sprintf("%.1f MB", v / 1e6)
    if (kind == "p99") return sprintf("%.1f", v)
    return sprintf("%.2f", v)
}

# One line of goals.txt against what was measured.
function goal_line(line, label, workload, kind, against, goal,    part, other, who, v, w, ratio,
    held, met, mine) {
    other = label
    if (split(against, part, "@") == 2) { against = part[1]; other = part[2] }
    if (split(against, part, " ") == 3) {
        other = "calibration"
        who = "disk"
        held = part[2] "/" part[3]
    } else if (split(against, part, " ") == 2) {
        who = part[1]
        held = workload
        best_of[other, held, who, kind] = part[2] + 0
    } else {
        held = workload
        who = opponent(other, held, kind, against)
    }
    mine = "-"
    if (has(label, workload, "sdb", kind)) {
        v = best_of[label, workload, "sdb", kind]
        mine = shown(kind, v, best_of[label, workload, "sdb", "cpu"])
    }
    if (goal != "-") goals++
    if (mine == "-" || who == "" || !has(other, held, who, kind)) {
        missing++
        printf "| %s | %s | - | - | %s | not measured |\n", line, mine, goal
        return
    }
    w = best_of[other, held, who, kind]
    ratio = w > 0 ? v / w : 0
    met = ""
    if (goal != "-") {
        met = "**missed**"
        if (kind == "rate" && ratio >= goal + 0) met = "met"
        if ((kind == "size" || kind == "p99") && ratio <= goal + 0) met = "met"
        if (kind == "written" && ratio < goal + 0) met = "met"
        if (met == "met") goals_met++
        goal = sign[kind] " " goal
    }
    printf "| %s | %s | %s %s | %.2f | %s | %s |\n", line, mine, who,
        shown(kind, w, best_of[other, held, who, "cpu"]), ratio, goal, met
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
        if (!((row, engine[e], "ops") in figure)) continue
        v = figure[row, engine[e], "ops"]
        if (v > most) most = v
    }
    return most
}

function rates(    r, e, v, row, ratio) {
    head("operations/s (CPU µs an operation)", "sdb / best peer")
    for (r = 1; r <= rows; r++) {
        row = order[r]
        printf "| %s |", title[row]
        for (e = 1; e <= engines; e++) {
            if (!((row, engine[e], "ops") in figure)) {
                printf "%s", ((engine[e] SUBSEP row_key[row]) in broken) ? " failed |" : " - |"
                continue
            }
            v = figure[row, engine[e], "ops"]
            printf (v == best(row, 0) ? " **%s** (%.2f) |" : " %s (%.2f) |"), scaled(v), \
                figure[row, engine[e], "cpu"]
        }
        ratio = "-"
        if ((row, "sdb", "ops") in figure && best(row, 1) > 0)
            ratio = sprintf("%.2f", figure[row, "sdb", "ops"] / best(row, 1))
        printf " %s |\n", ratio
    }
}

# which: 0 all rows, 1 those that change something, 2 those beyond memory
function plain(name, label, format, divisor, which,    r, e, row) {
    head(label, "")
    for (r = 1; r <= rows; r++) {
        row = order[r]
        if (which == 1 && row !~ /\t(fill|overwrite|delete|readwhilewriting.write|ycsb[abdef]|mixed)/)
            continue
        if (which == 2 && row !~ /^(disk|inflight)\t/) continue
        printf "| %s |", title[row]
        for (e = 1; e <= engines; e++) {
            if ((row, engine[e], name) in figure)
                printf " " format " |", figure[row, engine[e], name] / divisor
            else
                printf " - |"
        }
        print ""
    }
}

BEGIN {
    FS = "\t"
    sign["rate"] = "≥"
    sign["size"] = "≤"
    sign["p99"] = "≤"
    sign["written"] = "<"
}

FNR == 1 { file++ }

file == 1 {
    operations = $12 > 0 ? $12 : 1
    workload = $3 == "disk" ? $2 "/" $13 : $2
    best_of[$1, workload, $3, "rate"] = $5
    best_of[$1, workload, $3, "cpu"] = $8
    best_of[$1, workload, $3, "p99"] = $7
    best_of[$1, workload, $3, "size"] = $9
    best_of[$1, workload, $3, "written"] = $10 / operations / 116
    if ($16 > runs) runs = $16
    num = $15
    if ($3 == "disk") {
        act = "random read, O_DIRECT, " $13 " in flight"
        if ($2 == "disksync") act = "write of 4 KiB and fdatasync"
        disk[++disks] = sprintf("| %s | %s (%.2f) | %.0f | %.0f |", act, scaled($5), $8, $6, $7)
        next
    }
    row = $1 "\t" $2 "\t" $4
    if (!(row in title)) { order[++rows] = row; title[row] = $4; row_key[row] = $1 SUBSEP $2 }
    if (!($3 in known)) { known[$3] = 1; engine[++engines] = $3 }
    figure[row, $3, "ops"] = $5
    figure[row, $3, "p50"] = $6
    figure[row, $3, "p99"] = $7
    figure[row, $3, "cpu"] = $8
    figure[row, $3, "disk"] = $9
    figure[row, $3, "written"] = $10 / operations
    figure[row, $3, "read"] = $11 / operations
}

file == 2 && !/^#/ && /;/ { goal_text[++goal_lines] = $0 }

file == 3 && /^#/ && !/not built/ && !/filled with/ {
    sub(/; .* on /, ", ") # the folder is nobody's business
    if (!($0 in said)) { said[$0] = 1; lines[++said_count] = substr($0, 3) }
}

file == 3 && /^failure=/ {
    split($0, word, " ")
    for (i = 1; i <= 5; i++) {
        at = index(word[i], "=")
        f[substr(word[i], 1, at - 1)] = substr(word[i], at + 1)
    }
    broken[f["failure"], f["label"], f["workload"]] = 1
    why = f["failure"] ", " f["label"] ", " f["workload"] ": " substr($0, index($0, " why=") + 5)
    if (!(why in told)) { told[why] = 1; failure[++failures] = why }
}

END {
    how = (runs > 1) ? "medians of " runs " runs, engines taking turns" : "one run"
    printf "%d entries of 16 + 100 bytes, %s. Beside each rate the CPU time of an operation.\n", \
        num, how
    print "\n| line | sdb | best of those it is held to | ratio | goal | |\n|---|--:|--:|--:|--:|---|"
    for (g = 1; g <= goal_lines; g++) {
        split(goal_text[g], part, ";")
        for (p = 1; p <= 6; p++) part[p] = trimmed(part[p])
        goal_line(part[1], part[2], part[3], part[4], part[5], part[6])
    }
    printf "\n%d of %d goals are met; %d lines were not measured.\n", goals_met, goals, missing
    if (disks > 0) {
        print "\n| the disk itself | a second (CPU µs) | p50, µs | p99, µs |\n|---|--:|--:|--:|"
        for (d = 1; d <= disks; d++) print disk[d]
    }
    print "\nAll that was measured; the fastest is bold."
    rates()
    plain("p50", "median latency, µs", "%.2f", 1, 0)
    plain("p99", "99th percentile, µs", "%.2f", 1, 0)
    plain("written", "bytes written an operation", "%.0f", 1, 1)
    plain("read", "bytes read from the disk an operation", "%.0f", 1, 2)
    plain("disk", "MB on disk when closed", "%.1f", 1e6, 1)
    if (failures > 0) print "\nWhat failed (engine, configuration, workload):\n"
    for (i = 1; i <= failures; i++) print "- " failure[i]
    print "\nHow it was run:\n\n- make bench-peers NUM=" num " RUNS=" runs
    for (i = 1; i <= said_count; i++) {
        if (lines[i] ~ /^(threads|sdb_bench)/ && i > 4) continue
        print "- " lines[i]
    }
}
