/*
 * src/session/preset_table.h
 *		What messages have to know of the presets of add_issuer(). Made by tools/generate_presets.pl.
 */
/* clang-format off */
static const PresetClaims preset_claims[] = {
	{"keycloak", "sub client_id iat jti"},
	{"linuxforhealth", "sub iat jti"},
	{"entra", "sub client_id iat"},
	{"okta", "sub client_id iat jti"},
	{"auth0", "sub client_id iat"},
	{"cognito", "sub client_id iat jti token_use"},
	{"oracle", "sub iat"},
	{"medplum", "sub client_id iat"},
	{"aidbox", "sub iat"},
};

static const PresetPath preset_paths[] = {
	{"smart-launcher", "encounter", 2, {"context", "encounter"}},
	{"smart-launcher", "patient", 2, {"context", "patient"}},
	{"keycloak", "client_id", 1, {"azp"}},
	{"keycloak", "patient", 1, {"patient_id"}},
	{"linuxforhealth", "client_id", 1, {"azp"}},
	{"linuxforhealth", "patient", 1, {"patient_id"}},
	{"entra", "client_id", 1, {"azp"}},
	{"entra", "client_id", 1, {"appid"}},
	{"entra", "fhirUser", 1, {"extension_fhirUser"}},
	{"entra", "scope", 1, {"raw_scope"}},
	{"entra", "scope", 1, {"scp"}},
	{"entra", "scope", 1, {"roles"}},
	{"okta", "client_id", 1, {"cid"}},
	{"okta", "patient", 1, {"launch_response_patient"}},
	{"okta", "scope", 1, {"scp"}},
	{"auth0", "client_id", 1, {"azp"}},
	{"auth0", "patient", 1, {"launch_response_patient"}},
	{"oracle", "encounter", 2, {"urn:com:cerner:authorization:claims", "encounter"}},
	{"oracle", "encounter", 2, {"urn:com:cerner:authorization.claims", "encounter"}},
	{"oracle", "fhirUser", 4, {"urn:cerner:authorization:claims:version:1", "profiles", "smart-v1", "fhirUser"}},
	{"oracle", "patient", 2, {"urn:com:cerner:authorization:claims", "patient"}},
	{"oracle", "patient", 2, {"urn:com:cerner:authorization.claims", "patient"}},
	{"oracle", "scope", 2, {"urn:com:cerner:authorization:claims", "azs"}},
	{"oracle", "scope", 2, {"urn:com:cerner:authorization.claims", "azs"}},
	{"oracle", "scope", 4, {"urn:cerner:authorization:claims:version:1", "profiles", "smart-v1", "azs"}},
	{"medplum", "fhirUser", 1, {"profile"}},
	{"aidbox", "patient", 2, {"context", "patient"}},
};
