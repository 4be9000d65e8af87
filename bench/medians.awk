# SPDX-License-Identifier: Apache-2.0
# medians.awk: from the lines of sdb_bench, one line for each label, workload, threads, batch, reads
# in flight, and engine. Columns, by tabs:
#   1 label  2 workload  3 engine  4 title  5 ops_per_sec  6 p50_us  7 p99_us  8 cpu_us_per_op
#   9 disk_bytes  10 written_bytes  11 read_bytes  12 operations  13 inflight  14 io  15 num
#   16 runs
# Medians; the order is that of first appearance. Exit 1, with a line on stderr, when checksums
# differ.

BEGIN {
    split("ops_per_sec p50_us p99_us cpu_us_per_op disk_bytes written_bytes read_bytes operations",
        names)
}

function title(    text) {
    text = field["workload"]
    if (field["threads"] > 1) text = text ", " field["threads"] " threads"
    if (field["batch"] > 1) text = text ", batch " field["batch"]
    if (field["label"] == "disk" || field["label"] == "inflight" || field["label"] == "writes")
        text = text ", data 4x the cache"
    if (field["inflight"] > 1) text = text ", " field["inflight"] " in flight"
    if (field["label"] == "zstd") text = text ", zstd"
    return text
}

/^engine=/ {
    for (i = 1; i <= NF; i++) {
        at = index($i, "=")
        field[substr($i, 1, at - 1)] = substr($i, at + 1)
    }
    row = field["label"] "\t" field["workload"] "\t" title()
    if (field["checksum"] != "-") {
        if (!(row in sum)) {
            sum[row] = field["checksum"]
            first[row] = field["engine"]
        } else if (sum[row] != field["checksum"]) {
            print "checksums differ in " title() ": " first[row] ", " field["engine"] >"/dev/stderr"
            differ = 1
        }
    }
    key = row "\t" field["engine"]
    if (!(key in count)) {
        order[++keys] = key
        head[key] = field["label"] "\t" field["workload"] "\t" field["engine"] "\t" title()
    }
    n = ++count[key]
    for (i = 1; i in names; i++) value[key, names[i], n] = field[names[i]] + 0
    tail[key] = field["inflight"] "\t" field["io"] "\t" field["num"]
}

# The median of what was measured; of an even number the lower middle.
function median(key, name,    n, i, j, v, sorted) {
    n = count[key]
    for (i = 1; i <= n; i++) {
        v = value[key, name, i]
        for (j = i - 1; j >= 1 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return sorted[int((n + 1) / 2)]
}

END {
    for (k = 1; k <= keys; k++) {
        line = head[order[k]]
        for (i = 1; i in names; i++) line = line "\t" sprintf("%.3f", median(order[k], names[i]))
        print line "\t" tail[order[k]] "\t" count[order[k]]
    }
    exit differ
}
