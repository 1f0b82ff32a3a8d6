#!/bin/bash
# mainmode and Debian's strongSwan (5.9 or 6.0; 6.1 has no IKEv1) on the two ends of a wire: two network namespaces on this machine.
#   where the kernel has ESP:   sudo bash examples/with-strongswan.sh
#   anywhere, without root:     demo/uml-run bash examples/with-strongswan.sh
# Needs what `node scripts/setup.js interop` installs, and a build (`npm run build`). The key below is for this demonstration only.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d -p /dev/shm)
mainmode="node dist/cli/main.js --control $work/mainmode.sock"
trap 'kill $(jobs -p) 2>/dev/null; ip netns del mm-a; ip netns del mm-b; rm -rf "$work"' EXIT

for end in a b; do ip netns add mm-$end; ip -n mm-$end link set lo up; done
ip link add mm0 netns mm-a type veth peer name mm0 netns mm-b
ip -n mm-a addr add 192.0.2.1/24 dev mm0; ip -n mm-a link set mm0 up
ip -n mm-b addr add 192.0.2.2/24 dev mm0; ip -n mm-b link set mm0 up

# strongSwan at b
cat > "$work/strongswan.conf" <<CONF
charon-systemd {
  load = random nonce openssl pem pkcs1 x509 pubkey hmac kdf vici kernel-netlink socket-default
  plugins { vici { socket = unix://$work/vici } }
}
CONF
cat > "$work/swanctl.conf" <<CONF
connections { a {
  version = 1
  local_addrs = 192.0.2.2
  remote_addrs = 192.0.2.1
  proposals = aes256-sha256-modp2048
  local { auth = psk }
  remote { auth = psk }
  children { host { mode = transport
    esp_proposals = aes128-sha1-modp2048 } } } }
secrets { ike-1 { secret = "for this demonstration only" } }
CONF
export STRONGSWAN_CONF=$work/strongswan.conf
ip netns exec mm-b unshare -m sh -c 'mount -t tmpfs tmpfs /run; exec /usr/sbin/charon-systemd' > "$work/charon.log" 2>&1 &
for _ in $(seq 100); do [ -S "$work/vici" ] && break; sleep 0.1; done
swanctl --load-all --noprompt --file "$work/swanctl.conf" --uri "unix://$work/vici" 2>/dev/null | tail -1

# mainmode at a
cat > "$work/mainmode.toml" <<CONF
[policy.main-mode]
proposals = ["aes256-sha256-modp2048"]
[policy.quick-mode]
proposals = ["esp:aes128-sha1"]
pfs = "modp2048"
[[rule]]
name = "b"
filters = ["me <-> 192.0.2.2"]
action = "require"
auth = [{ method = "psk", secret = "for this demonstration only" }]
CONF
chmod 600 "$work/mainmode.toml"
ip netns exec mm-a $mainmode daemon -c "$work/mainmode.toml" 2> "$work/mainmode.log" &
for _ in $(seq 100); do [ -S "$work/mainmode.sock" ] && break; sleep 0.1; done

echo "--- mainmode initiate b"
$mainmode initiate b
echo "--- ping through it"
ip netns exec mm-a ping -c 3 -i 0.3 192.0.2.2 | tail -2
echo "--- mainmode status"
$mainmode status
echo "--- and what strongSwan says"
swanctl --list-sas --uri "unix://$work/vici"
echo "--- mainmode shutdown"
$mainmode shutdown
