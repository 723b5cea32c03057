"""Django before smart_fhir_oauth: relays what clients send, asks a person for consent, reads FHIR under the token.

python3 front.py PORT, with BASE, PGHOST, PGDATABASE. Three databases of one cluster's roles, a duty each. Django puts each request
into a transaction here (ATOMIC_REQUESTS), as many projects do; so the endpoints burn in one transaction and redeem in the next.
psycopg2 binds on the client's side: doc/recipes.md says what that costs, and how Django 4.2 and psycopg 3 avoid it.
"""
import json
import os
import re
import sys
from urllib.parse import unquote_to_bytes

import django
from django.conf import settings
from django.core import signing
from django.core.management import execute_from_command_line
from django.db import connections, transaction
from django.db.utils import Error
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.utils.html import escape
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from psycopg2.extras import Json

BASE = os.environ["BASE"]


def database(user):
    return {"ENGINE": "django.db.backends.postgresql", "USER": user, "HOST": os.environ["PGHOST"],
            "PORT": os.environ.get("PGPORT", ""), "NAME": os.environ["PGDATABASE"], "ATOMIC_REQUESTS": True, "CONN_MAX_AGE": 600}


settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["localhost", "127.0.0.1"], SECRET_KEY=os.urandom(32).hex(), ROOT_URLCONF=__name__,
    DATABASES={"default": {}, "protocol": database("front_protocol"), "people": database("front_people"), "fhir": database("front_fhir")},
    MIDDLEWARE=["django.middleware.clickjacking.XFrameOptionsMiddleware"], X_FRAME_OPTIONS="DENY", DATA_UPLOAD_MAX_MEMORY_SIZE=65536)
django.setup()


def value(alias, sql, *values):
    """One value of one statement; dictionaries become jsonb."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [Json(v) if isinstance(v, dict) else v for v in values])
        return cursor.fetchone()[0]


def document_of(raw):
    return raw if isinstance(raw, dict) else json.loads(raw)


def parameters(text):
    """A query or form; what came twice is a list, for the database to refuse. Bad UTF-8 and U+0000 are ValueErrors."""
    result = {}
    for pair in filter(None, text.split("&")):
        name, _, content = (unquote_to_bytes(part.replace("+", " ")).decode("utf-8") for part in pair.partition("="))
        if "\0" in name + content:
            raise ValueError("U+0000")
        result[name] = [*(result[name] if isinstance(result[name], list) else [result[name]]), content] if name in result else content
    return result


def form(request):
    if request.content_type != "application/x-www-form-urlencoded" or len(request.body) > 65536:
        raise ValueError("not a form")
    return parameters(request.body.decode("utf-8"))


def headers(request):
    return {name: request.headers[name] for name in ("authorization", "content-type") if name in request.headers}


def relay(answer):
    response = HttpResponse("" if answer["body"] is None else json.dumps(answer["body"]), status=answer["status"])
    del response["content-type"]
    for name, content in answer["headers"].items():
        response[name] = content
    return response


# ---- programs ----

def endpoint(name):
    @csrf_exempt                                                    # clients have no cookie here
    @require_POST
    @transaction.non_atomic_requests(using="protocol")              # its two transactions are its own
    def view(request):
        try:
            asked = form(request)
        except Exception:                                           # too large, no form, no UTF-8
            return JsonResponse({"error": "invalid_request"}, status=400)
        with transaction.atomic(using="protocol"):
            receipt = value("protocol", "SELECT smart.burn(%s, %s, %s)", name, asked, headers(request))
        with transaction.atomic(using="protocol"):
            response = relay(document_of(value("protocol", "SELECT smart.redeem(%s)", receipt)))
        response["access-control-allow-origin"] = "*"
        return response
    return view


def document(sql, *values):
    @require_GET
    def view(request):
        response = JsonResponse(document_of(value("protocol", sql, *values)))
        response["access-control-allow-origin"] = "*"
        return response
    return view


# ---- people: your own login goes here; the person of this recipe comes from the environment ----

def who(request):
    return json.loads(os.environ["PERSON"])


def page(html, status=200):
    response = HttpResponse(html, status=status)
    response["cache-control"] = "no-store"
    response["referrer-policy"] = "no-referrer"
    response["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
    return response


def outcome(answer):
    if 300 <= answer["status"] < 400:
        return relay(answer)
    return page(f"<h1>This app cannot go on</h1><p>{escape(answer['body'].get('error_description', ''))}</p>", answer["status"])


@require_GET
def authorize(request):
    person = who(request)
    try:
        asked = parameters(request.META["QUERY_STRING"])
    except ValueError:
        return page("<h1>Bad request</h1>", 400)
    answer = document_of(value("people", "SELECT smart.authorize(%s, %s)", asked, {"sub": person["sub"], "fhirUser": person["fhirUser"]}))
    if answer["status"] != 200:
        return outcome(answer)
    state = signing.dumps({"request": asked, "sub": person["sub"]})
    boxes = "".join(f'<label><input type="checkbox" name="scope" value="{escape(s["scope"])}" checked> {escape(s["text"])}</label>' for s in answer["body"]["scopes"])
    client = answer["body"]["client"]
    return page(f'<h1>Allow {escape(client.get("client_name") or client["client_id"])}?</h1><form method="post" action="/auth/consent">'
                f'<input type="hidden" name="state" value="{escape(state)}">{boxes}<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>')


@csrf_exempt                                                        # the signed state, bound to the person, is the proof
@require_POST
def consent(request):
    person = who(request)
    try:
        answered = form(request)
        asked = signing.loads(answered.get("state", ""), max_age=600)
    except (ValueError, signing.BadSignature):
        return page("<h1>This page is too old</h1>", 400)
    if asked["sub"] != person["sub"]:
        return page("<h1>This page is too old</h1>", 400)
    scope = answered.get("scope", [])
    approval = {"denied": True} if answered.get("decision") != "allow" else {
        "sub": person["sub"], "fhirUser": person["fhirUser"], "auth_time": person["authTime"], "scope": scope if isinstance(scope, str) else " ".join(scope)}
    return outcome(document_of(value("people", "SELECT smart.approve(%s, %s)", asked["request"], approval)))


# ---- FHIR: the request's transaction, under its token ----

def patient(request, patient_id):
    def refuse(status, challenge=None):
        response = JsonResponse({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found" if status == 404 else "security"}]}, status=status)
        if challenge:
            response["www-authenticate"] = challenge
        return response
    token = re.fullmatch(r"Bearer +(\S+)", request.headers.get("authorization", ""), re.I)
    if not token:
        return refuse(401, "Bearer")
    try:
        with transaction.atomic(using="fhir"), connections["fhir"].cursor() as cursor:
            cursor.execute("SELECT smart.login(%s, true, 'read')", [token[1]])
            cursor.execute("SELECT resource::text FROM patient WHERE id = %s", [patient_id])
            row = cursor.fetchone()
    except Error as error:
        diagnostics = error.__cause__.diag
        if diagnostics.schema_name == "smart" and diagnostics.sqlstate == "28000":
            return refuse(401, 'Bearer error="invalid_token"')
        if diagnostics.sqlstate == "42501":
            return refuse(403, 'Bearer error="insufficient_scope"')
        raise
    return HttpResponse(row[0], content_type="application/fhir+json") if row else refuse(404)


patient = transaction.non_atomic_requests(using="fhir")(patient)    # the session ends with the inner transaction
urlpatterns = [
    *(path(f"auth/{name}", endpoint(name)) for name in ("token", "introspect", "revoke")),
    path("fhir/.well-known/smart-configuration", document("SELECT smart.smart_configuration(%s)", f"{BASE}/fhir")),
    path("auth/.well-known/openid-configuration", document("SELECT smart.openid_configuration()")),
    path("auth/jwks", document("SELECT smart.server_jwks()")),
    path("auth/authorize", authorize), path("auth/consent", consent), path("fhir/Patient/<str:patient_id>", patient),
]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
