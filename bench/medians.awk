# SPDX-License-Identifier: Apache-2.0
# medians.awk: from the lines of sdb_bench, one line for each workload, threads, batch and engine:
# workload, threads, batch, engine, ops_per_sec, p50_us, p99_us, cpu_us_per_op, disk_bytes,
# written_bytes, operations, runs. Medians; the order is that of first appearance.
# Exit 1, with a line on stderr, when checksums differ.

BEGIN {
    split("ops_per_sec p50_us p99_us cpu_us_per_op disk_bytes written_bytes operations", names)
}

/^engine=/ {
    for (i = 1; i <= NF; i++) {
        at = index($i, "=")
        field[substr($i, 1, at - 1)] = substr($i, at + 1)
    }
    row = field["workload"] "\t" field["threads"] "\t" field["batch"]
    if (field["checksum"] != "-") {
        if (!(row in sum)) {
            sum[row] = field["checksum"]
            first[row] = field["engine"]
        } else if (sum[row] != field["checksum"]) {
            print "checksums differ in " row ": " first[row] ", " field["engine"] >"/dev/stderr"
            differ = 1
        }
    }
    key = row "\t" field["engine"]
    if (!(key in count)) order[++keys] = key
    n = ++count[key]
    for (i = 1; i in names; i++) value[key, names[i], n] = field[names[i]] + 0
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
        line = order[k]
        for (i = 1; i in names; i++) line = line "\t" sprintf("%.3f", median(order[k], names[i]))
        print line "\t" count[order[k]]
    }
    exit differ
}
