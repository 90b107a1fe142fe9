/* limits.h - every bound of the system, in one place.
 *
 * A bound belongs here when crossing it is a decision (an answer of 413, 431, a refused job), not when it is the size of
 * a local array. Each states its unit and what happens beyond it. */
#ifndef AUTODB_LIMITS_H
#define AUTODB_LIMITS_H

/* A bound as text, for SQL and messages. */
#define LIMIT_TEXT(bound) LIMIT_TEXT_(bound)
#define LIMIT_TEXT_(bound) #bound

/* --- HTTP, per connection: beyond these the answer is 431, 413 or 408 and the connection closes --- */
#define LIMIT_HTTP_HEAD_BYTES (16 * 1024)
#define LIMIT_HTTP_HEADERS 64
#define LIMIT_HTTP_URL_BYTES (8 * 1024)
#define LIMIT_HTTP_HEAD_MS 5000  /* absolute, from the first byte of a request */
#define LIMIT_HTTP_BODY_MS 30000 /* absolute, from the end of the head */
#define LIMIT_HTTP_IDLE_MS 60000 /* keep-alive without a request */
#define LIMIT_HTTP_REQUESTS_PER_CONN 100000
#define LIMIT_HTTP_CONNS_PER_LOOP 16384 /* beyond: accepted, answered 503, closed */
#define LIMIT_HTTP_BODY_DEFAULT (64 * 1024)
#define LIMIT_HTTP_BODY_SQL (4 * 1024 * 1024) /* a 1 MiB statement may quadruple when JSON escapes it */

/* --- requests --- */
#define LIMIT_SQL_BYTES (1024 * 1024)
#define LIMIT_ECHO_PAYLOAD_BYTES (64 * 1024)
#define LIMIT_METADATA_BYTES (4 * 1024)
#define LIMIT_WAIT_SECONDS 60
#define LIMIT_DELAY_DAYS 30 /* how far ahead run_at may be */
#define LIMIT_DELAY_MS ((int64_t)LIMIT_DELAY_DAYS * 24 * 3600 * 1000)
#define LIMIT_EVENT_RESULT_BYTES (1024 * 1024) /* in an event; a larger result is null there, and the event says where it is */
#define LIMIT_EVENT_DIFF_BYTES (16 * 1024)     /* of schema.changed; a larger diff is null there, and the event says where it is */
#define LIMIT_EXECUTE_HOLD_SECONDS 5           /* how long POST /execute waits for the worker's refusal when nothing is preferred */
#define LIMIT_ANSWER_SECONDS 30                /* how long a question waits for its answer when nothing is preferred */
#define LIMIT_LIST_DEFAULT 50
#define LIMIT_LIST_MAX 200
#define LIMIT_IDEMPOTENCY_KEY_BYTES 255
#define LIMIT_JSON_DEPTH 256            /* request bodies; deeper is MALFORMED_REQUEST */
#define LIMIT_APPROVAL_TOKEN_BYTES 2048 /* ours are about 650; longer is TOKEN_INVALID */

/* --- uploads --- */
#define LIMIT_UPLOAD_FILES 50 /* in one request; beyond: 413 */
#define LIMIT_DOCUMENT_NAME_BYTES 255
#define LIMIT_PART_HEAD_BYTES (8 * 1024)                    /* header lines of one part of a multipart body */
#define LIMIT_UPLOAD_FIELD_BYTES (2 * LIMIT_METADATA_BYTES) /* one form field that is no file */
#define LIMIT_UPLOAD_BYTES (LIMIT_UPLOAD_FILES * (LIMIT_DOCUMENT_BYTES + LIMIT_PART_HEAD_BYTES) + 1024 * 1024)
#define LIMIT_UPLOAD_WINDOW_MS 30000 /* in each, this many bytes must arrive, or the answer is 408 */
#define LIMIT_UPLOAD_WINDOW_BYTES (256 * 1024)
#define LIMIT_UPLOAD_MS (30 * 60 * 1000)  /* absolute, for a whole upload */
#define LIMIT_UPLOADS 64                  /* being received at once by one API; beyond: 503 */
#define LIMIT_UPLOADS_PER_OWNER 16        /* of them; beyond: 429 */
#define LIMIT_ORIGINAL_GRACE_SECONDS 3600 /* an original nothing refers to is kept that long: its upload may not be committed yet */

/* --- plans: beyond these a plan is refused, PLAN_TOO_LARGE --- */
#define LIMIT_PLAN_BYTES (10 * 1024 * 1024)     /* as it was pasted */
#define LIMIT_HTTP_BODY_PLAN (24 * 1024 * 1024) /* quotes and line ends double when JSON escapes them */
#define LIMIT_PLAN_NODES 50000
#define LIMIT_PLAN_DEPTH 400 /* nodes; each is two levels of JSON, and clients' parsers stop at a thousand */

/* --- jobs --- */
#define LIMIT_RESULT_BYTES (64 * 1024 * 1024) /* a larger result fails the job */
#define LIMIT_LEASE_SECONDS 30
#define LIMIT_HEARTBEAT_SECONDS 10
#define LIMIT_SUBMIT_BATCH 128 /* rows in one group commit */
#define LIMIT_SWEEP_BATCH 1000
#define LIMIT_SLOTS 64
#define LIMIT_CRASHES 3          /* attempts that took the slot or the worker with them; then the job is dead, whatever its budget */
#define LIMIT_RETRY_BASE_MS 1000 /* full jitter: random(0, min(cap, base * 2^failures)) */
#define LIMIT_RETRY_CAP_MS (15 * 60 * 1000)

/* --- webhooks --- */
#define LIMIT_WEBHOOKS_PER_OWNER 100
#define LIMIT_WEBHOOK_URL_BYTES 2048
#define LIMIT_WEBHOOK_CONCURRENCY 16      /* most calls at once that an endpoint may ask for */
#define LIMIT_DELIVERY_MS 15000           /* of one call, from the lookup to the last byte */
#define LIMIT_DELIVERY_ANSWER (64 * 1024) /* bytes read of an answer */
#define LIMIT_DELIVERY_EXCERPT 2048       /* bytes kept of request and answer */
#define LIMIT_DELIVERY_CALLS 64           /* at once, of one courier */
#define LIMIT_DELIVERY_OWNER_CALLS 32     /* at once, of one owner, over all couriers */
#define LIMIT_DELIVERY_LEASE_SECONDS 45   /* longer than a call and the statements around it */

/* --- our own servers --- */
#define LIMIT_PG_INFLIGHT 1024                     /* queries waiting on one pipelined connection; beyond: ERR_UNAVAILABLE */
#define LIMIT_PG_INFLIGHT_BYTES (64 * 1024 * 1024) /* of parameters waiting there, before the newest; beyond: ERR_UNAVAILABLE */
#define LIMIT_PG_PARAMS_BYTES (LIMIT_SNAPSHOT_BYTES + 1024 * 1024) /* of one query; beyond: the query is refused */
#define LIMIT_PG_CONNECT_MS 5000                                   /* from the first packet to a usable connection; then it is tried anew */
#define LIMIT_PG_QUERY_MS 30000                                    /* a query's deadline unless it names one */
#define LIMIT_REDIS_CONNECT_MS 3000
#define LIMIT_REDIS_REPLY_MS 10000 /* the oldest command unanswered that long: the connection is dropped. XREADGROUP blocks for less */
#define LIMIT_REDIS_INFLIGHT 65536 /* commands awaiting replies; beyond: reply NULL at once */
#define LIMIT_RECONNECT_MIN_MS 50
#define LIMIT_RECONNECT_MAX_MS 2000

/* --- generated SQL: beyond these it is refused as GUARDRAIL_VIOLATION --- */
#define LIMIT_GUARD_SQL_BYTES (16 * 1024)
#define LIMIT_GUARD_OPERATORS 1000     /* operator tokens of a statement */
#define LIMIT_GUARD_FROM_ITEMS 24      /* tables, subqueries, functions and CTEs of a statement: planning time grows steeply with them */
#define LIMIT_GUARD_REPEAT 10000       /* characters that repeat(), lpad(), rpad(), format() or a type's length may make of a few */
#define LIMIT_GUARD_REPEATED 1000000   /* that all repeat() of a statement may make of one, nested */
#define LIMIT_GUARD_MADE 50000000      /* characters that repeat() makes over all rows of series */
#define LIMIT_GUARD_SERIES 1000000     /* rows of a generate_series() between literals */
#define LIMIT_QUERY_STATEMENT_MS 10000 /* statement_timeout of what runs on a client's database for a question */
#define LIMIT_QUERY_TRANSACTION_MS                                                                                                 \
  25000                           /* transaction_timeout (17 and later): EXPLAIN, preparing and running together; ends the session \
                                   */
#define LIMIT_QUERY_GRACE_MS 5000 /* that we wait beyond the server's own timeouts before the connection is dropped */
#define LIMIT_QUERY_LOCK_MS 2000
#define LIMIT_QUERY_WORK_MEM_KB 16384
#define LIMIT_QUERY_ROWS 500                /* one more is fetched, to know whether there are more */
#define LIMIT_QUERY_CELL 2000               /* characters of a cell; cut beyond */
#define LIMIT_QUERY_COLUMNS 200             /* beyond: refused */
#define LIMIT_QUERY_BYTES (4 * 1024 * 1024) /* of cells; beyond: truncated */

/* --- client databases --- */
#define LIMIT_CLIENT_CONNECT_SECONDS 10
#define LIMIT_SNAPSHOT_BYTES (256 * 1024 * 1024)
#define LIMIT_SNAPSHOTS_KEPT 20             /* per connection; those an approval refers to stay */
#define LIMIT_INTROSPECT_STATEMENT_MS 30000 /* one catalog query */
#define LIMIT_INTROSPECT_BYTES \
  (128 * 1024 * 1024)                /* of catalog JSON, about 16,000 tables; the tree takes eight times that, and the slot has 2 GiB */
#define LIMIT_INTROSPECT_SCHEMAS 200 /* named in one request */
#define LIMIT_DUMP_BYTES (64 * 1024 * 1024) /* of pg_dump --schema-only; beyond: no dump, with the reason */
#define LIMIT_SANDBOX_SHAPE 50000           /* columns whose statistics shape a sandbox's rows; beyond: none do */
#define LIMIT_DUMP_MS 120000

/* --- context: documents and retrieval --- */
#define LIMIT_DOCUMENT_BYTES (10 * 1024 * 1024)      /* of one document, as given; beyond: it fails as TOO_LARGE */
#define LIMIT_DOCUMENT_TEXT_BYTES (16 * 1024 * 1024) /* of its extracted text; beyond: it fails as TOO_LARGE */
#define LIMIT_DOCUMENT_BLOCKS 400000                 /* paragraphs, rows, items of one document; beyond: it fails as TOO_LARGE */
#define LIMIT_DOCUMENT_CHUNKS 20000                  /* of one document; beyond: it fails as TOO_LARGE */
#define LIMIT_CHUNK_BYTES 8192                       /* of a text that is embedded */
#define LIMIT_SCANNED_PASSAGES 2000            /* of one connection whose vectors the database looks at; beyond: slots keep them in short */
#define LIMIT_KEPT_PASSAGES 400000             /* of one connection kept so, in 540 bytes each; beyond: an index is made for it */
#define LIMIT_RETRIEVAL_RESULTS 50             /* of tables, and of passages, in one answer */
#define LIMIT_RETRIEVAL_TEXT_BYTES (64 * 1024) /* of a question that are looked at */
#define LIMIT_EMBED_CACHE_DAYS 90              /* a bought vector that nobody needed for so long is forgotten */
#define LIMIT_GLOSSARY_ENTRIES 500             /* offered to one question; of one document */

/* --- questions --- */
#define LIMIT_QUESTION_CHARS 4000
#define LIMIT_QUESTION_BYTES (4 * LIMIT_QUESTION_CHARS) /* of UTF-8 */
#define LIMIT_VALUE_PROBE_ROWS 100000                   /* a larger table is not searched for words of a question; its statistics are */
#define LIMIT_VALUE_PROBE_BYTES (64 * 1024 * 1024)
#define LIMIT_PROMPT_BYTES (128 * 1024)       /* of all that is said to a language model about one question */
#define LIMIT_PROMPT_SCHEMA_BYTES (64 * 1024) /* of it, about tables; those that fit no more are left out */
#define LIMIT_VERIFIED_QUERIES 1000           /* of one connection */

/* --- object stores --- */
#define LIMIT_S3_TRIES 6      /* of one call, while the service says that another may help */
#define LIMIT_S3_PAUSE_MS 200 /* before the second: random(0, pause * 2^tries), at most the cap; or what the service asks for */
#define LIMIT_S3_PAUSE_CAP_MS 10000
#define LIMIT_S3_CALL_MS 30000                   /* of one try, and a second more for every 64 KiB */
#define LIMIT_S3_LIST_BYTES (8 * 1024 * 1024)    /* of one page of a listing: 1000 keys of 1 KiB, encoded */
#define LIMIT_S3_THREADS 8                       /* that read objects for one batch */
#define LIMIT_S3_AHEAD 16                        /* objects of one batch that are begun or read, besides the one that is ingested */
#define LIMIT_S3_FLIGHT_BYTES (16 * 1024 * 1024) /* read and not yet ingested, of one batch; or one object */
#define LIMIT_S3_GROUP_BYTES (1024 * 1024)       /* of objects that are ingested in one transaction; or one object */
#define LIMIT_S3_BATCH_OBJECTS 250               /* of one job */
#define LIMIT_S3_BATCH_BYTES (64 * 1024 * 1024)  /* of one job; or one object */
#define LIMIT_S3_OBJECT_TRIES 3                  /* begun and not settled; then it is reported as failed */
#define LIMIT_S3_STALLS 3                        /* jobs of a batch that ended and changed nothing; then its objects are */
#define LIMIT_S3_FAILED_SHOWN 100                /* in a result, which says how many there are */

#endif
