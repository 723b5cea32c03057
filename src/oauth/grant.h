/*
 * src/oauth/grant.h
 *		Grants: what one approval gave, whether it still holds, and how it ends.
 */
#ifndef SMART_FHIR_OAUTH_GRANT_H
#define SMART_FHIR_OAUTH_GRANT_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "oauth/client.h"
#include "oauth/store.h"

/* A used code stays findable as reuse so long, after it has expired. */
#define GRANT_CODE_KEPT (24 * USECS_PER_HOUR)

typedef struct OauthGrant
{
	char *grant_id;
	char *client_id;
	char *sub;
	char *session; /* NULL: none, as everything that may be absent */
	char *patient;
	char *encounter;
	char *fhir_user; /* absolute */
	char *audience;
	char *scope;		   /* as granted, in the spelling that was asked */
	Jsonb *context;		   /* further members of the token response */
	char *refresh;		   /* "offline", "online" or NULL */
	TimestampTz auth_time; /* 0: not known */
	TimestampTz granted_at;
	TimestampTz ends_at;	/* no refresh beyond it; DT_NOEND: none */
	TimestampTz expires_at; /* without a refresh token that lives longer */
} OauthGrant;

/* NULL when there is none. */
extern OauthGrant *grant_find(const char *grant_id);
extern OauthGrant *grant_read(const StoreRow *row);

/*
 * Does it still count? Not when it was ended, nor when its client is disabled or lost all that
 * it held, nor when a withdrawal or the end of the session is later than the approval. client is
 * the grant's, as it is now.
 */
extern bool grant_is_live(const OauthGrant *grant, const OauthClient *client);
/* Is it ended by its id? For grants of clients themselves (client_credentials), which have no row. */
extern bool grant_id_is_ended(const char *grant_id);

/*
 * End it: its tokens are revoked, nothing more comes of it. Waits for nobody and locks nothing:
 * rows are added. Counts once the transaction is committed.
 */
extern void grant_end(const char *grant_id);
/* All that the client holds, its own tokens too; event is "disabled" or "ended". */
extern void grant_end_client(const OauthClient *client, const char *event);

/* When the last refresh token of the grant ends, 0: it has none; *used_at: when it was made. */
extern TimestampTz grant_refreshable_until(const char *grant_id, TimestampTz *used_at);

/* Delete a few that are over; now and then. */
extern void grant_clean_sometimes(void);

#endif /* SMART_FHIR_OAUTH_GRANT_H */
