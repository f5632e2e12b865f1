# shellcheck shell=bash
# shellcheck disable=SC2154 # $umbra is whose this is sourced by
# A real QEMU behind libvirt, for tests that compare with it. libvirt's QEMU driver runs embedded in each
# command (qemu:///embed), in a folder of its own, as an unprivileged user: nothing of the host's libvirt is
# touched, and no daemon is needed. Source it with $umbra set; it sets $lv_dir, which the caller removes.

lv_skip() { echo "SKIPPED: $*"; exit 77; }

# lv_begin NAME: or skip, with the reason.
lv_begin() {
    lv_name=$1-$$
    "$umbra" run --libvirt test:///default test 2>&1 </dev/null | grep -q 'built without libvirt' &&
        lv_skip 'umbra was built without libvirt'
    command -v qemu-system-i386 >/dev/null || lv_skip 'no qemu-system-i386'
    command -v virsh >/dev/null || lv_skip 'no virsh (libvirt-clients)'
    lv_dir=$(mktemp -d /tmp/umbra-lv.XXXXXX) || exit 1
    lv_uri="qemu:///embed?root=$lv_dir/root"
    mkdir -p "$lv_dir/root/etc" "$lv_dir/home"
    # Serial ports to files without virtlogd, which is a package of its own.
    printf '%s\n' 'security_driver = "none"' 'stdio_handler = "file"' >"$lv_dir/root/etc/qemu.conf"
    chmod 755 "$lv_dir"
    lv_as=(env "HOME=$lv_dir/home")
    if [ "$(id -u)" -eq 0 ]; then
        lv_as+=(setpriv --reuid 65534 --regid 65534 --clear-groups)
        chown -R 65534:65534 "$lv_dir/root" "$lv_dir/home"
    fi
}

# lv COMMAND...: as that user; what it says goes to $lv_dir/out.
lv() { timeout -k 5 60 "${lv_as[@]}" "$@" >"$lv_dir/out" 2>&1 </dev/null; }

# lv_run KERNEL MIB APPEND [CPU-XML [OPTION...]]: a domain, whose serial port is $lv_dir/home/serial; options of virsh
# create. $lv_initrd: its initrd, if set.
lv_run() {
    cat >"$lv_dir/domain.xml" <<END
<domain type='qemu'>
  <name>$lv_name</name><memory unit='MiB'>$2</memory><vcpu>1</vcpu>
  <os><type arch='i686' machine='pc'>hvm</type><kernel>$1</kernel>
    ${lv_initrd:+<initrd>$lv_initrd</initrd>}<cmdline>$3</cmdline></os>
  ${4:-}
  <devices>
    <emulator>$(command -v qemu-system-i386)</emulator>
    <serial type='file'><source path='$lv_dir/home/serial'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
END
    lv virsh -q -c "$lv_uri" create "$lv_dir/domain.xml" "${@:5}" ||
        lv_skip "libvirt cannot run a domain here: $(tail -n 1 "$lv_dir/out")"
}

lv_end() {
    lv virsh -q -c "$lv_uri" destroy "$lv_name"
    pkill -f "guest=$lv_name," 2>/dev/null
    rm -rf "$lv_dir"
}
