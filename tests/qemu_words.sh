#!/bin/bash
# qemu_words.sh UMBRA GUESTS: what people paste from a command line of QEMU's is served where the machine is so anyway,
# and else refused with what to do instead: the whole message, and exit code 1. Prints TAP.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
umbra=$(readlink -f "$1") guests=$(readlink -f "$2")
cd "$dir" || exit 1
tap_lines=6
cp "$guests/hello.elf" hello
printf '1234567' >one
truncate -s 1M disk

# serves ARGS...: a machine that says hello
serves() {
    timeout -k 5 50 "$umbra" run --timeout 40 "$@" >out 2>err </dev/null && grep -q '^Hello from an i386 guest' out
    result $? "serves: $*"
}
# told MESSAGE ARGS...
told() {
    local message=$1
    shift
    timeout -k 5 50 "$umbra" run -kernel hello --timeout 40 "$@" >out 2>err </dev/null
    [ $? -eq 1 ] && [ ! -s out ] && [ "$(head -n 1 err)" = "umbra run: $message" ]
    result $? "refuses: $*" || echo "# should be: umbra run: $message"
}

while read -r line; do
    # shellcheck disable=SC2086 # words
    serves $line
done <<'SERVED'
-kernel hello
-kernel hello -nographic -no-reboot
-kernel hello -append quiet -m 64 -display none -serial stdio -monitor none
-kernel hello -m 64M -accel tcg -smp 1 -nodefaults
-m size=64M -kernel hello -machine pc,accel=tcg -serial mon:stdio -net none -parallel none -vga std
-M pc -kernel hello -no-acpi -no-hpet -nic none -name guest=test -initrd one -append a
-kernel hello -device isa-debug-exit,iobase=0xf4,iosize=0x04 -no-user-config -smp cpus=1 -accel=tcg
-kernel hello -drive file=disk,format=raw,if=ide,index=0,media=disk,snapshot=on
SERVED

serves -kernel hello -hda disk -hdb disk -cdrom disk -snapshot -rtc base=utc
timeout 50 "$umbra" run -kernel hello -m 64 >out 2>err </dev/null
grep -q '^memory: 00100000-03ffffff RAM$' out
result $? '-m 64 is 64 MiB'
timeout 50 "$umbra" run -kernel hello -serial file:log -debugcon null -q >out 2>err </dev/null
grep -q '^Hello' log && [ ! -s out ]
result $? '-serial file:FILE'
timeout 50 "$umbra" run -kernel hello -serial null -q >out 2>err </dev/null && [ ! -s out ] && [ ! -e null ]
result $? '-serial null'
timeout 50 "$umbra" run -kernel hello -enable-kvm --kvm-device /nonexistent >out 2>err </dev/null
[ $? -eq 3 ] && grep -q 'use --engine soft$' err
result $? '-enable-kvm is --engine kvm'
timeout 50 "$umbra" run -kernel hello -machine pc,accel=kvm --kvm-device /nonexistent >out 2>err </dev/null
[ $? -eq 3 ]
result $? '-machine pc,accel=kvm as well'
timeout 50 "$umbra" run hello -initrd 'one a,one b' >out 2>err </dev/null
result $? 'a comma behind the name is the string'
grep -q '"one a,one b"' out
result $? '... as the guest sees'
timeout 50 "$umbra" run hello -initrd one,two >out 2>err </dev/null
[ $? -eq 2 ] && [ "$(<err)" = 'umbra run: one,two: no such file; if it is a list, give each module an -initrd of its own' ]
result $? 'a list of modules'
[ ! -e stdio ] && [ ! -e mon:stdio ] && [ ! -e none ]
result $? 'no word has become a file'

while IFS='|' read -r line message; do
    # shellcheck disable=SC2086 # words
    told "$message" $line
done <<'REFUSED'
-smp 2|-smp: '2' is not to be had: the machine has one processor; give 1, or leave it out
-smp cpus=4|-smp: 'cpus=4' is not to be had: the machine has one processor; give 1, or leave it out
-cpu host|-cpu: 'host' is not to be had: there is one model of processor; leave it out
-cpu qemu32,+sse2|-cpu: 'qemu32,+sse2' is not to be had: there is one model of processor; leave it out
-accel hvf|-accel: 'hvf' is not to be had: give kvm or tcg (or --engine kvm or soft)
-machine q35|-machine: 'q35' is not to be had: the machine is a PC; give pc, or leave it out
-machine pc,accel=xen|-machine: 'pc,accel=xen' is not to be had: the machine is a PC; give pc, or leave it out
-M microvm|-M: 'microvm' is not to be had: the machine is a PC; give pc, or leave it out
-net user|-net: 'user' is not to be had: the machine has no network; leave it out
-nic user,model=e1000|-nic: 'user,model=e1000' is not to be had: the machine has no network; leave it out
-netdev user,id=n|-netdev: 'user,id=n' is not to be had: the machine has no network; leave it out
-device e1000|-device: 'e1000' is not to be had: the machine has a PC's devices, isa-debug-exit at 0xf4, and drives by -drive; leave it out
-device isa-debug-exit,iobase=0x501|-device: 'isa-debug-exit,iobase=0x501' is not to be had: the machine has a PC's devices, isa-debug-exit at 0xf4, and drives by -drive; leave it out
-usb|-usb: not here: the machine has no USB, its keyboard is a PC's; leave it out
-vga virtio|-vga: 'virtio' is not to be had: the machine has a VGA in text mode; give std, or leave it out
-curses|-curses: not here: there is no window; --display text shows the VGA's text screen
-vnc :0|-vnc: ':0' is not to be had: there is no window; --display text shows the VGA's text screen
-display gtk|-display: 'gtk' is none of: none, text
-monitor stdio|-monitor: 'stdio' is not to be had: a running machine is steered by umbra ctl; give --control PATH
-qmp unix:/tmp/q|-qmp: 'unix:/tmp/q' is not to be had: a running machine is steered by umbra ctl; give --control PATH
-serial pty|-serial: 'pty' is not to be had: give stdio, null or a FILE
-serial tcp::4444|-serial: 'tcp::4444' is not to be had: give stdio, null or a FILE
-serial file:|-serial: which file?
-serial stdio -serial null|-serial null: COM1 is the only serial port
-debugcon pty|-debugcon: 'pty' is not to be had: give stdio, null or a FILE
-m 64X|-m: '64X' is no size; write 4096, 0x1000, 64M or 1G
-m 64,slots=2|-m: '64,slots=2' is no size; write 4096, 0x1000, 64M or 1G
-drive file=disk,if=virtio|-drive: if: 'virtio' is none of: ide, floppy
-drive file=disk,format=qcow2|-drive: format: 'qcow2' is none of: raw
-soundhw sb16|-soundhw: 'sb16' is not to be had: the machine has no sound; leave it out
-daemonize|-daemonize: not here: leave it to the shell (&), and give --control PATH
-d int|-d: 'int' is not to be had: give --trace FILE, --trace-insn FILE or --stats
-D log|-D: 'log' is not to be had: give --trace FILE, --trace-insn FILE or --stats
-icount 3|-icount: '3' is not to be had: give --clock insn or --clock insn=NS
-no-shutdown|-no-shutdown: not here: a machine that is done ends; give --pt, --screen FILE or --control PATH
-nographic=on|option --nographic takes no value
-cpu|option -cpu needs a value
-nogrphic|unknown option -nogrphic
--memroy 64M|unknown option --memroy; did you mean --memory?
-drvie file=disk|unknown option -drvie; did you mean --drive?
-Machine pc|unknown option -Machine
REFUSED
done_testing
