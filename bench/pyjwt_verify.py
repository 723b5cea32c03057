# bench/pyjwt_verify.py ALG N: prints microseconds of CPU a jwt.decode() of PyJWT, with the key read once.
import json, sys, time
import jwt

algorithm, n = sys.argv[1], int(sys.argv[2])
key = jwt.PyJWK(json.load(open('jwk')), algorithm).key
token = open('token').read().strip()
def verify():
    return jwt.decode(token, key, algorithms=[algorithm], issuer='https://ehr.example.org/auth', audience='https://ehr.example.org/fhir', options={'verify_iat': False})
for _ in range(100):
    verify()
started = time.process_time()
for _ in range(n):
    verify()
print((time.process_time() - started) * 1e6 / n)
