/*
 * src/session/data.h
 *		The compiled context of one verified token, as plain data.
 *
 * Made by the session layer, read by the decision. Knows nothing of how it came to be.
 */
#ifndef SMART_FHIR_SESSION_DATA_H
#define SMART_FHIR_SESSION_DATA_H

#include "datatype/timestamp.h"

typedef enum SessionInteraction
{
	INTERACTION_NONE,
	INTERACTION_READ, /* read, vread, history */
	INTERACTION_SEARCH,
	INTERACTION_CREATE,
	INTERACTION_UPDATE, /* update, patch */
	INTERACTION_DELETE
} SessionInteraction;

/* Whose rows a level reaches. */
typedef enum SessionReach
{
	REACH_NOTHING,	/* no patient, no usable fhirUser, or the level is not granted */
	REACH_PATIENTS, /* the compartments of the listed patients (may be none) */
	REACH_ALL
} SessionReach;

/* A list of NUL-terminated texts inside the session: count and offset of the first. */
typedef struct SessionTexts
{
	int32 n;
	int32 offset;
} SessionTexts;

/*
 * One flat allocation, position independent: every text is an offset from the start, 0 for
 * an absent one. Owned by the GUC machinery; never modified after it is built.
 */
typedef struct Session
{
	uint32 magic;
	int32 size; /* of the whole, in bytes */
	uint64 generation;
	uint64 issuer_epoch;	  /* as of which smart.issuer was asked; 0: unknown here */
	TimestampTz expires_at;	  /* exp; DT_NOEND without one */
	TimestampTz ends_at;	  /* exp plus leeway: from then on nothing is allowed */
	TimestampTz refuse_after; /* the issuer's keys are stale from then on; DT_NOEND: never */
	int32 interaction;		  /* SessionInteraction */
	int32 interaction_name;	  /* index + 1 in the table of names; 0 for none */
	int32 issuer;
	int32 subject;
	int32 client_id;
	int32 jti;
	int32 patient;
	int32 encounter;
	int32 fhir_user;
	int32 scope;			/* canonical text, malformed tokens left out */
	int32 grants;			/* its resource scopes as the token spells them */
	int32 typ;				/* of the token's header */
	uint32 algorithm;		/* that signed it; 0 after assume() */
	int32 key_thumbprint;	/* of the key that signed; absent after assume() */
	int32 aliases_function; /* the issuer's context functions, as of then */
	int32 user_function;
	int32 claims;				/* offset of a jsonb, aligned */
	uint32 kind;				/* for src/policy, in this backend; 0: none */
	int32 reach[3];				/* SessionReach by ScopeLevel */
	int32 n_named;				/* so many of patients are named by the token, the first ones */
	SessionTexts patients;		/* what patient/ reaches: the patient and its aliases */
	SessionTexts user_patients; /* what user/ reaches when REACH_PATIENTS */
	SessionTexts audience;
	SessionTexts bases;			 /* FHIR bases that the token opens, no trailing slash */
	SessionTexts ignored;		 /* pairs: scope, reason */
	SessionTexts ignored_claims; /* "claim: reason" */
} Session;

#define SESSION_MAGIC 0x53464831

static inline const char *
session_text(const Session *session, int32 offset)
{
	return offset == 0 ? NULL : (const char *) session + offset;
}

/* The i-th text of a list costs a walk; loops use session_texts_next(). */
static inline const char *
session_texts_first(const Session *session, SessionTexts texts)
{
	return (const char *) session + texts.offset;
}

static inline const char *
session_texts_next(const char *text)
{
	return text + strlen(text) + 1;
}

/* Is there a text equal to these bytes in the list? */
static inline bool
session_texts_contain(const Session *session, SessionTexts texts, const char *value, size_t len)
{
	const char *text = session_texts_first(session, texts);

	for (int i = 0; i < texts.n; i++)
	{
		size_t text_len = strlen(text);

		if (text_len == len && memcmp(text, value, len) == 0)
			return true;
		text += text_len + 1;
	}
	return false;
}

#endif /* SMART_FHIR_SESSION_DATA_H */
