#!/bin/sh
# What happens to the package on a Debian 13 that runs: started by systemd in a guest with ESP (debian13.packages.ts), which reads /result.
# One line for each fact: NAME, a tab, what was found. The package is installed already, as apt does it; a newer one lies at /newer.deb.
exec >/result 2>/result.err
set -u
fact() { # fact NAME COMMAND...
  name=$1
  shift
  printf '%s\t%s\n' "$name" "$("$@" 2>&1 | tr '\n\t' '| ')"
}
exit_of() { "$@" >/dev/null 2>&1; echo $?; }
property() { systemctl show --property="$1" --value mainmode.service; }
spis() { mainmode status --json | grep -oE '"(initiatorCookie|responderCookie|spiIn|spiOut)": *"[0-9a-fx]+"' | sort; }
process() { sed -n 's/^\(Uid\|Gid\|CapEff\|CapBnd\|NoNewPrivs\|Seccomp\):\t*//p' "/proc/$(property MainPID)/status"; }
kernel() { echo "$(ip xfrm state | grep -c proto) $(ip xfrm policy | grep -c 'reqid')"; }
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
# Twenty pings a second as long as a command runs. Besides ping's own words: which ones have no answer.
under_traffic() {
  ping -n -i 0.05 192.0.2.2 >/ping &
  pid=$!
  sleep 1
  "$@" >/dev/null 2>>/result.err
  sleep 1
  kill -INT $pid
  wait $pid
  awk '
    match($0, /icmp_seq=[0-9]+ /) && /time=/ { answered[substr($0, RSTART + 9, RLENGTH - 10)] = 1 }
    / packets transmitted/ { sent = $1 }
    END { for (i = 1; i <= sent; i++) if (!(i in answered)) missing = missing " " i; print sent " sent, unanswered:" missing }' /ping
}
until_new_process() { # until_new_process OLD
  for _ in $(seq 300); do
    [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ] && [ "$(property ActiveState)" = active ] && return
    sleep 0.1
  done
}

for module in xfrm_user esp4 authenc hmac cbc veth drbg jitterentropy_rng; do modprobe -q $module; done
ip netns add peer
ip -n peer link set lo up
ip link add va type veth peer name vb netns peer
ip addr add 192.0.2.1/24 dev va && ip link set va up
ip -n peer addr add 192.0.2.2/24 dev vb && ip -n peer link set vb up

# ---- as it was installed; the start at boot may take its time here ----
for _ in $(seq 300); do [ "$(property ActiveState)" = active ] && break; sleep 0.1; done
fact installed.active property ActiveState
fact installed.enabled systemctl is-enabled mainmode.service
fact installed.socket systemctl is-enabled mainmode.socket
fact installed.process process
fact installed.status property StatusText
fact installed.warnings sh -c 'journalctl --unit mainmode --priority warning --no-pager -o cat'
fact installed.folder stat -c '%A %U:%G' /etc/mainmode /etc/mainmode/mainmode.toml /run/mainmode /run/mainmode/control.sock /run/mainmode/journal /var/lib/mainmode
fact installed.nobody exit_of as_nobody mainmode status
fact installed.verify systemd-analyze verify --man=no mainmode.service mainmode.socket
fact installed.security sh -c 'systemd-analyze security --no-pager mainmode.service | tail -n 1'

# ---- a rule whose key is a credential, and a peer ----
key='throwaway test key, never use it'
umask 077
printf '%s\n' "$key" >/root/peer.psk
rules() { printf '[[rule]]\nname = "peer"\nfilters = ["me <-> %s"]\naction = "require"\nauth = [{ method = "psk", secret%s }]\n' "$1" "$2"; }
rules 192.0.2.2 '-file = "credential:peer.psk"' >>/etc/mainmode/mainmode.toml
mkdir -p /etc/systemd/system/mainmode.service.d /run/peer
printf '[Service]\nLoadCredential=peer.psk:/root/peer.psk\nWatchdogSec=6\n' >/etc/systemd/system/mainmode.service.d/site.conf
# What its secrets are is written down, to be looked for in what was said.
install -d -o mainmode -m 700 /run/ledger
printf 'Environment=NODE_OPTIONS=--import=/ledger/test/secrets-ledger.js MAINMODE_LEDGER=/run/ledger\nReadWritePaths=/run/ledger\n' >>/etc/systemd/system/mainmode.service.d/site.conf
printf '[daemon]\nruntime-directory = "/run/peer"\ncontrol = "/run/peer/control.sock"\n' >/run/peer/mainmode.toml
rules 192.0.2.1 " = \"$key\"" >>/run/peer/mainmode.toml
systemctl daemon-reload
fact restart.exit exit_of systemctl restart mainmode
ip netns exec peer mainmode daemon -c /run/peer/mainmode.toml 2>/run/peer/log &
for _ in $(seq 100); do [ -S /run/peer/control.sock ] && break; sleep 0.1; done
fact initiate.exit exit_of mainmode initiate peer
fact initiate.ping under_traffic true
before=$(spis)
fact initiate.spis spis
fact initiate.descriptors property NFileDescriptorStore

# ---- upgrade, restart, a daemon that hangs, a reload: the same SAs, no packet lost ----
old=$(property MainPID)
fact upgrade.ping under_traffic dpkg -i /newer.deb
fact upgrade.version dpkg-query -W -f '${Version}' mainmode
fact upgrade.process test "$(property MainPID)" != "$old" -a "$(property ActiveState)" = active
fact upgrade.conffile grep -c credential /etc/mainmode/mainmode.toml
[ "$(spis)" = "$before" ] && fact upgrade.same echo yes
fact restart.ping under_traffic systemctl restart mainmode
[ "$(spis)" = "$before" ] && fact restart.same echo yes
old=$(property MainPID)
kill -STOP "$old"
fact watchdog.ping under_traffic until_new_process "$old"
fact watchdog.restarts property NRestarts
[ "$(spis)" = "$before" ] && fact watchdog.same echo yes
fact reload.exit exit_of systemctl reload mainmode
echo 'frobnicate = 1' >>/etc/mainmode/mainmode.toml
fact reload.faulty exit_of systemctl reload mainmode
sed -i '/^frobnicate/d' /etc/mainmode/mainmode.toml
[ "$(spis)" = "$before" ] && fact reload.same echo yes
systemctl reload mainmode
fact reload.active property ActiveState

# ---- a full stop: the kernel is empty, the peer knows ----
fact stop.exit exit_of systemctl stop mainmode
fact stop.result property Result
fact stop.kernel kernel
sleep 1
fact stop.peer sh -c 'mainmode --control /run/peer/control.sock status --json | grep -c initiatorCookie'
# What stays tells the next start whose the policies are that it finds; SAs, and so keys, are not in it.
fact stop.journal sh -c 'echo $(ls /run/mainmode) $(grep -acE "(ike|child|guard) [0-9]" /run/mainmode/journal) $(stat -c %a /run/mainmode/journal)'

# ---- the control socket by systemd ----
systemctl start mainmode.socket
fact socket.status exit_of mainmode status
fact socket.active property ActiveState
rm -f /run/restarted
{ systemctl restart mainmode; touch /run/restarted; } &
failed=""
until [ -e /run/restarted ]; do mainmode status >/dev/null || failed="$failed $?"; done
wait $!
fact socket.while echo "failed:$failed"
fact socket.mode stat -c '%A %G' /run/mainmode/control.sock
fact journal.fields sh -c 'journalctl --unit mainmode -o json --no-pager | grep -c WIN_EVENT_ID'
fact journal.secret sh -c "journalctl --no-pager -o export | grep -c '$key'"
fact completion.bash bash -c '. /usr/share/bash-completion/completions/mainmode; COMP_WORDS=(mainmode up ""); COMP_CWORD=2; _mainmode; echo "${COMPREPLY[*]}"'

# ---- removed, purged ----
mainmode initiate peer >/dev/null
fact remove.exit exit_of dpkg -r mainmode
fact remove.active systemctl is-active mainmode.service mainmode.socket
fact remove.kernel kernel
fact remove.kept ls /etc/mainmode
cp -r /run/ledger /secrets
journalctl --no-pager -o export >/result.export
fact purge.exit exit_of dpkg -P mainmode
fact purge.left sh -c 'ls -d /etc/mainmode /usr/lib/mainmode /var/lib/mainmode /run/mainmode /usr/bin/mainmode /usr/lib/systemd/system/mainmode.* /etc/systemd/system/*/mainmode.service /var/lib/systemd/deb-systemd-helper-enabled/*mainmode* 2>/dev/null'
fact end systemctl --failed --no-legend
journalctl --no-pager --unit mainmode >/result.journal
cp /run/peer/log /result.peer
systemctl poweroff --force --force
