# SPDX-License-Identifier: Apache-2.0
# chart.awk results.txt medians.txt: the SVG of `make bench-peers`.
#
# A panel for each workload, a bar for each engine. Rates of different workloads lie four powers of
# ten apart, so each panel has its own scale, whose end is its fastest engine. sdb is the coloured
# one. The colours follow the reader's: light or dark.

function scaled(v) {
    if (v >= 1e7) return sprintf("%.1f M", v / 1e6)
    if (v >= 1e6) return sprintf("%.2f M", v / 1e6)
    if (v >= 1e5) return sprintf("%.0f k", v / 1e3)
    if (v >= 1e3) return sprintf("%.1f k", v / 1e3)
    return sprintf("%.0f", v)
}

function escaped(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    return text
}

function text(x, y, class, anchor, what) {
    printf "<text x=\"%d\" y=\"%d\" class=\"%s\"", x, y, class
    if (anchor != "") printf " text-anchor=\"%s\"", anchor
    printf ">%s</text>\n", escaped(what)
}

function bar(x, y, width, class) {
    printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" class=\"%s\"/>\n",
        x, y, width, BAR - 4, class
}

function panel(row, x, y,    e, most, v, class) {
    most = 0
    for (e = 1; e <= engines; e++)
        if ((row, engine[e]) in rate && rate[row, engine[e]] > most) most = rate[row, engine[e]]
    text(x, y + 12, "t b", "", title[row])
    y += 20
    for (e = 1; e <= engines; e++) {
        v = (row, engine[e]) in rate ? rate[row, engine[e]] : 0
        class = engine[e] == "sdb" ? "sdb" : "peer"
        text(x + NAME - 6, y + 10, class == "sdb" ? "t b" : "m", "end", engine[e])
        bar(x + NAME, y, LONGEST, "track")
        if (v > 0) bar(x + NAME, y, LONGEST * v < most ? 1 : LONGEST * v / most, class)
        text(x + NAME + LONGEST + 6, y + 10, v == most ? "t b" : "t", "", v > 0 ? scaled(v) : "-")
        y += BAR
    }
}

BEGIN {
    FS = "\t"
    COLUMNS = 3; BAR = 16; NAME = 70; LONGEST = 160; PANEL = 310; MARGIN = 24; HEAD = 64
}

FNR == 1 { file++ }

file == 1 && FNR == 1 { date = substr($0, 3) }
file == 1 && FNR == 2 { machine = substr($0, 3); sub(/; .* on /, ", ", machine) }

file == 2 && $3 != "disk" {
    row = $1 "\t" $2 "\t" $4
    if (!(row in title)) { title[row] = $4; order[++rows] = row }
    if (!($3 in known)) { known[$3] = 1; engine[++engines] = $3 }
    rate[row, $3] = $5
    num = $15
    if ($16 > runs) runs = $16
}

END {
    high = 20 + BAR * engines + 18
    width = 2 * MARGIN + COLUMNS * PANEL
    height = HEAD + MARGIN + high * int((rows + COLUMNS - 1) / COLUMNS)
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"" \
        " width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"operations per second\">\n", \
        width, height, width, height
    print "<style>"
    print "text{font:12px system-ui,sans-serif}.h{font-size:18px}.h,.b{font-weight:600}"
    print ".bg{fill:#fff}.t{fill:#1f2933}.m{fill:#5f6b7a}.track{fill:#eef1f4}"
    print ".peer{fill:#8aa0b8}.sdb{fill:#d9480f}"
    print "@media (prefers-color-scheme:dark){.bg{fill:#14181d}.t{fill:#e6e9ed}.m{fill:#9aa5b1}"
    print ".track{fill:#232a32}.peer{fill:#5b7592}.sdb{fill:#ff7a3d}}"
    print "</style>"
    printf "<rect class=\"bg\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", width, height
    text(MARGIN, 30, "t h", "", "sdb and its peers: operations per second, longer is better")
    text(MARGIN, 50, "m", "", date "; " machine "; " num " entries, " \
        (runs > 1 ? "medians of " runs " runs" : "one run"))
    for (r = 1; r <= rows; r++)
        panel(order[r], MARGIN + PANEL * ((r - 1) % COLUMNS),
            HEAD + 6 + high * int((r - 1) / COLUMNS))
    print "</svg>"
}
