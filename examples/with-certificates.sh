#!/bin/sh
# Makes a throwaway CA, a certificate for each of two hosts, a revocation list and both configurations below a directory:
#
#   examples/with-certificates.sh DIR
#   mainmode check DIR/a.toml
#
# Host a is 192.0.2.1, host b 192.0.2.2. For trying things out only: the CA's key lies there unprotected.
set -eu
mkdir -p "${1:?where to?}"
cd "$1"
umask 077

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 \
  -subj "/C=DE/O=Throwaway test/CN=CA" -addext keyUsage=critical,keyCertSign,cRLSign

for host in a b; do
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nsubjectAltName=DNS:%s.example.test\n' $host >$host.ext
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $host.key -out $host.csr -subj "/C=DE/O=Throwaway test/CN=$host"
  openssl x509 -req -in $host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile $host.ext -out $host.pem
done

# Who is revoked: nobody yet. `openssl ca -revoke` and another -gencrl change that; the daemon reads the file again when it has changed.
: >index.txt
echo 01 >crlnumber
printf '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=20\n' >ca.conf
openssl ca -config ca.conf -gencrl -keyfile ca.key -cert ca.pem -out ca.crl

rule() { # rule OWN OTHER ADDRESS
  cat <<RULE
[[rule]]
name      = "partner"
filters   = ["me <-> $3"]
action    = "require"
auth      = [{ method = "x509", certificate = "$1.pem", key = "$1.key", ca = ["ca.pem"], crl = "require", crl-files = ["ca.crl"] }]
remote-id = "dn:C=DE, O=Throwaway test, CN=$2"     # CN=* would be any host of this CA
RULE
}
rule a b 192.0.2.2 >a.toml
rule b a 192.0.2.1 >b.toml
