#!/bin/bash
# shellcheck disable=SC2181 # the exit status is one check among several
# umbra run --libvirt against libvirt's test driver. Prints TAP. (tests/compare_qemu.sh has a real domain.)
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$1 guests=$2

run() { timeout 60 "$umbra" run "$@" --engine soft >"$dir/out" 2>&1 </dev/null; }

run --libvirt test:///default test
if [ $? -eq 3 ] && grep -q 'built without libvirt; install' "$dir/out"; then
    result 0 'built without libvirt: said so, with the remedy'
    done_testing
    exit
fi

cat >"$dir/node.xml" <<END
<node>
  <domain type='test'>
    <name>hello</name><memory unit='MiB'>24</memory>
    <os><type arch='i686'>hvm</type><kernel>$guests/hello.elf</kernel><cmdline>from libvirt</cmdline></os>
  </domain>
  <domain type='test'>
    <name>nokernel</name><memory unit='MiB'>24</memory><os><type arch='i686'>hvm</type></os>
  </domain>
  <domain type='test'>
    <name>missing</name><memory unit='MiB'>24</memory>
    <os><type arch='i686'>hvm</type><kernel>$dir/nothing</kernel></os>
  </domain>
</node>
END
uri=test://$dir/node.xml
run --libvirt "$uri" hello
[ $? -eq 0 ] && grep -q 'Hello from an i386 guest' "$dir/out" && grep -q 'hello.elf from libvirt"' "$dir/out" &&
    grep -q '00100000-017fffff RAM' "$dir/out"
result $? 'memory, kernel and command line are the domain'\''s'
run --libvirt "$uri" hello -m 32M -append mine
[ $? -eq 0 ] && grep -q 'hello.elf mine"' "$dir/out" && grep -q '00100000-01ffffff RAM' "$dir/out"
result $? 'what an option says stands'
run --libvirt "$uri" nokernel
[ $? -eq 2 ] && grep -q "'nokernel' has no <os><kernel>" "$dir/out"
result $? 'a domain without a kernel: exit code 2'
run --libvirt "$uri" missing
[ $? -eq 2 ] && grep -q "$dir/nothing" "$dir/out"
result $? 'a kernel that is not there: exit code 2, named'
run --libvirt "$uri" stranger
[ $? -eq 2 ] && grep -q "'stranger'" "$dir/out"
result $? 'no such domain: exit code 2, named'
run --libvirt "test://$dir/none.xml" hello
[ $? -eq 3 ] && grep -q 'cannot connect' "$dir/out"
result $? 'no connection: exit code 3'
run --libvirt "$uri"
[ $? -eq 1 ]
result $? 'no domain: exit code 1'
done_testing
