#!/usr/bin/env bash
# python3-jwt 2.6.0 (Debian 12): a token whose iat is ahead of the reader's clock is refused (ImmatureSignatureError), by default with no leeway
# at all. RFC 7519 4.1.6 gives iat no such meaning (nbf is the claim for it). An authorization server whose clock is two seconds ahead of the FHIR
# server's is enough: a token used at once fails, and works when tried again.
# For a server: the reader sets leeway; a signer does not put iat ahead (smart.token() takes the database's clock).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download python3-jwt=2.6.0-1+deb12u1 >/dev/null 2>&1 || { echo "skipped: python3-jwt=2.6.0-1+deb12u1 is not to be had from this system's package lists"; exit 0; }
for package in *.deb; do dpkg-deb -x "$package" root; done
cat > probe.py <<'PY'
import time, jwt
key = 'x' * 32
for ahead, leeway in [(0, 0), (20, 0), (20, 60)]:
    now = int(time.time())
    token = jwt.encode({'iat': now + ahead, 'exp': now + 300}, key)
    try:
        jwt.decode(token, key, algorithms=['HS256'], leeway=leeway)
        print(f'iat {ahead} s ahead, leeway {leeway}: taken')
    except jwt.PyJWTError as problem:
        print(f'iat {ahead} s ahead, leeway {leeway}: {type(problem).__name__}')
PY
seen=$(PYTHONPATH=root/usr/lib/python3/dist-packages python3 probe.py)
expected='iat 0 s ahead, leeway 0: taken
iat 20 s ahead, leeway 0: ImmatureSignatureError
iat 20 s ahead, leeway 60: taken'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
