# Counts the tests in a JUnit file of ctest. A Criterion program or a TAP script counts as the tests it
# held, anything else as one. Prints "PASSED FAILED SKIPPED", then "fail NAME" and "skip NAME: why" lines.
#
# Assumes what ctest 3.25 writes: one <testcase ...> line, its output between <system-out> lines.

function attribute(line, name,    s) {
    if (!match(line, name "=\"[^\"]*\""))
        return ""
    s = substr(line, RSTART, RLENGTH)
    sub("^" name "=\"", "", s)
    sub("\"$", "", s)
    return s
}

function number_behind(line, word,    s) {
    if (!match(line, word ": *[0-9]+"))
        return 0
    s = substr(line, RSTART, RLENGTH)
    sub(/^[^0-9]*/, "", s)
    return s + 0
}

/<testcase / {
    name = attribute($0, "name")
    status = attribute($0, "status")
    held = good = bad = not_ok = skips = 0
    why = ""
}
/<skipped / { why = attribute($0, "message") }
/SKIP(PED)?: / { why = $0; sub(/.*SKIP(PED)?: /, "", why) }
/\[SKIP\]/ { skips++; skip_line[skips] = $0; sub(/.*\[SKIP\] */, "", skip_line[skips]) }
/\[====\] Synthesis: / {
    held = 1
    good += number_behind($0, "Passing")
    bad += number_behind($0, "Failing") # crashes are among them
}
# TAP; the first line of an output follows its tag.
/^[ \t]*(<system-out>)?ok [0-9]+/ {
    held = 1
    if ($0 ~ /# SKIP/) {
        skips++
        skip_line[skips] = $0
        sub(/^.*ok [0-9]+ (- )?/, "", skip_line[skips])
    } else {
        good++
    }
}
/^[ \t]*(<system-out>)?not ok [0-9]+/ { held = 1; not_ok++ }
/<\/testcase>/ {
    if (status == "fail")
        bad += not_ok
    if (status == "notrun" || status == "disabled") {
        skipped++
        notes = notes "skip " name ": " (why == "" ? "no reason given" : why) "\n"
    } else {
        if (!held)
            good = status == "run"
        if (status == "fail" && bad == 0)
            bad = 1 # it crashed, or time was up
        passed += good
        failed += bad
        if (bad > 0)
            notes = notes "fail " name "\n"
        for (i = 1; i <= skips; i++) {
            skipped++
            notes = notes "skip " name ": " skip_line[i] "\n"
        }
    }
}
END { printf "%d %d %d\n%s", passed, failed, skipped, notes }
