#!/usr/bin/env bash
# python3-oauthlib 3.2.2 (Debian 12; under requests-oauthlib): when the token answer's scope differs from the requested one, parse_request_body_response()
# raises a Warning as an exception, and the token is lost. RFC 6749 3.3 lets a server grant another scope if it says so, and SMART servers do it all
# the time: a person takes consent down to laboratory, `patient/*.read` comes back in version 2's form, offline_access is not granted.
# For a server: nothing it can mend; a Python client sets OAUTHLIB_RELAX_TOKEN_SCOPE=1. Order alone does not matter to it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download python3-oauthlib=3.2.2-1 >/dev/null 2>&1 || { echo "skipped: python3-oauthlib=3.2.2-1 is not to be had from this system's package lists"; exit 0; }
for package in *.deb; do dpkg-deb -x "$package" root; done
cat > probe.py <<'PY'
import json
from oauthlib.oauth2 import WebApplicationClient
asked = ['launch/patient', 'patient/Observation.rs']
for granted in ['patient/Observation.rs launch/patient', 'launch/patient patient/Observation.rs?category=laboratory', 'launch/patient']:
    answer = json.dumps({'access_token': 'x', 'token_type': 'Bearer', 'expires_in': 300, 'scope': granted})
    try:
        WebApplicationClient('app', scope=asked).parse_request_body_response(answer, scope=asked)
        print(granted + ': taken')
    except Warning as problem:
        print(granted + ': raised ' + type(problem).__name__)
PY
seen=$(PYTHONPATH=root/usr/lib/python3/dist-packages python3 probe.py; OAUTHLIB_RELAX_TOKEN_SCOPE=1 PYTHONPATH=root/usr/lib/python3/dist-packages python3 probe.py | tail -1)
expected='patient/Observation.rs launch/patient: taken
launch/patient patient/Observation.rs?category=laboratory: raised Warning
launch/patient: raised Warning
launch/patient: taken'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
