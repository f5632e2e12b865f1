# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # what this takes from tap.sh and gives to it
# A guest of ours on one of three machines. Source it after tap.sh, with $umbra and $where set: soft, hybrid (user mode
# on kvm, kernel mode on soft; skipped without kvm) or qemu (skipped without; it tests the guest).
case ${where:?} in
    soft) ;;
    hybrid) need_kvm ;;
    qemu) command -v qemu-system-i386 >/dev/null || skip_all "no qemu-system-i386 (package qemu-system-x86)" ;;
    *) echo "$where: none of soft, hybrid, qemu" >&2; exit 1 ;;
esac
tap_show=("$dir/out") tap_lines=40

# need_bios: where it is $umbra that starts through one.
need_bios() { [ "$where" = qemu ] || [ -r /usr/share/seabios/bios.bin ] || skip_all "no /usr/share/seabios/bios.bin (package seabios)"; }

# run_tap WHAT IMAGE DRIVE...: it ends well, and what it says is whole TAP without a failure.
run_tap() {
    local what=$1 image=$2 status
    shift 2
    case $where in
        soft) timeout -k 5 100 "$umbra" run "$image" -m 16M --engine soft -q "$@" >"$dir/out" 2>&1 </dev/null ;;
        hybrid) timeout -k 5 100 "$umbra" run "$image" -m 16M --engine kvm --ring0 soft -q "$@" >"$dir/out" 2>&1 </dev/null ;;
        qemu)
            timeout -k 5 100 qemu-system-i386 -accel tcg -m 16 -display none -monitor none -no-reboot -nodefaults \
                -kernel "$image" -append exit=qemu -serial file:"$dir/out" \
                -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" </dev/null
            [ $? -eq 99 ] # a clean end
            ;;
    esac
    status=$?
    [ $status -eq 0 ] && ! grep -q '^not ok' "$dir/out" && grep -q '^1\.\.' "$dir/out"
    result $? "$what: exit status $status, $(grep -c '^ok' "$dir/out") checks"
}
