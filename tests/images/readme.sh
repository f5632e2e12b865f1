#!/bin/bash
# readme.sh UMBRA TALK: the commands of README's section "Run a real kernel", as they stand there, in a folder that
# looks like a clone after tools/demo (which is not run again); only /tmp is another folder. At the shells somebody types.
set -u
# shellcheck source=tests/images/common.sh
. "$(dirname "$0")/common.sh"
need linux-686 busybox
[ -r /usr/share/seabios/bios.bin ] || skip_all "no BIOS (package seabios)"
command -v grub-mkimage >/dev/null || skip_all "no GRUB (packages grub-pc-bin, grub-common)"

clone=$work/clone home=$work/home
mkdir -p "$clone/tools" "$clone/build/release/vmm" "$home/.cache/umbra"
ln -s "$images_dir" "$home/.cache/umbra/images"
ln -s "$top"/tools/* "$clone/tools/"
ln -s "$top/guest" "$clone/guest"
ln -s "$(readlink -f "$umbra")" "$clone/build/release/vmm/umbra"
rm "$clone/tools/demo"
printf '#!/bin/sh\n' >"$clone/tools/demo"
chmod +x "$clone/tools/demo"

sed -n '/^## Run a real kernel/,/^## [^R]/{s|/tmp/|'"$work"'/|;s/^    //p}' "$top/README.md" >"$work/commands"
[ "$(grep -cE '^tools/demo$|^tools/fetch-images$|^.umbra run ' "$work/commands")" -eq 5 ]
result $? "README has these commands"

cat >"$work/script" <<'EOS2'
expect umbra# 
send echo typed $((6*7)) | cat\n
expect typed 42
expect umbra# 
send poweroff -f\n
expect System halted
expect session: end
expect System halted
expect umbra# 
send sync; poweroff -f\n
end
EOS2
(
    cd "$clone" || exit 1
    unset UMBRA_CACHE XDG_CACHE_HOME
    HOME=$home exec timeout 500 "$talk" -l 240 "$work/script" -- \
        bash -e "$work/commands" 2>"$work/err"
) >"$work/out" 2>"$work/talk.err"
result $? "they come to their end"
has "$work/out" '^meminfo adds up'
has "$work/err" 'pages read back +[1-9][0-9]{3}'
[ $failed -eq 0 ] || tail -n 60 "$work/out" "$work/err" "$work/talk.err"
done_testing
