/* The commands of `autodb`, one row each; help and dispatch read the rows. */
#include <unistd.h>

#include "cli/cli.h"
#include "common/config.h"

static int run_help(const struct cli_command *self, int argc, char **argv);
static int run_version(const struct cli_command *self, int argc, char **argv);
static int run_config(const struct cli_command *self, int argc, char **argv);

#define REMOTE_HELP                                                                                        \
  "Talks to the server AUTODB_URL names (default http://127.0.0.1:8080) with the key in AUTODB_API_KEY;\n" \
  "`. .autodb/env` sets both for the one deploy/up started.\n"
#define CONNECTION_HELP "Without --connection: AUTODB_CONNECTION_ID, else the only connection there is.\n"

static const struct cli_command commands[] = {
    {"analyze", "FILE [--connection ID] [--no-sandbox] [--token-file PATH] [--json] [--timeout SECONDS]", remote_analyze,
     "analyze a migration and print the risk report",
     "FILE \"-\" reads standard input. --no-sandbox leaves out the trial run (and with it the approval token); --json prints the\n"
     "job as the server gave it. --token-file writes the approval token to PATH (mode 0600) and says what runs the migration.\n"
     "Exit 0: there is a report, whatever it says (with --token-file: and a token).\n" CONNECTION_HELP REMOTE_HELP},
    {"ask", "\"QUESTION\" [--connection ID] [--rows N] [--sql] [--json]", remote_ask, "answer a question in words from the database",
     "Prints how the question was read, the SQL, and its rows. --sql writes and checks the statement without running it; --rows is the "
     "most\n"
     "to fetch (500). The statement runs read-only, for 10 s at most, and is rolled back.\n"
     "Exit 0: answered. 1: asked back, or failed.\n" CONNECTION_HELP REMOTE_HELP},
    {"check", "PATH… [--schema FILE | --database URL] [--format text|json|sarif|github] [--fail-on LEVEL] …", check_run,
     "check migration files, without a server: for CI",
     "PATH is a migration or a directory of them (Flyway, Prisma, diesel, goose, dbmate, golang-migrate, sqlx, plain files in the order "
     "of\n"
     "their numbers). Each is judged against the schema the ones before it make, and run in a sandbox where one can be had.\n\n"
     "  --schema FILE            the schema before the first file: pg_dump --schema-only, or any SQL; default: an empty database\n"
     "  --database URL           … or read from this database, with its sizes and statistics; nothing is written to it\n"
     "  --format FORMAT          text (default), json, sarif (2.1.0) or github (annotations)\n"
     "  --fail-on LEVEL          info, warning, error (default) or never; a migration that fails in the sandbox is an error\n"
     "  --fail-on-score N        also when a file's risk reaches N of 100\n"
     "  --only FILE, --last N    report on these (may be repeated), or the last N; the others only make the schema\n"
     "  --ignore RULE            report findings of this rule as suppressed (may be repeated)\n"
     "  --migrations-format NAME don't find out whose migrations these are\n"
     "  --pg-version N           the PostgreSQL to judge for, 13 to 18\n"
     "  --no-sandbox             static analysis only;  --require-sandbox: fail where nothing can be run\n"
     "  --timeout SECONDS        for one file (120)\n\n"
     "Exit 0: nothing at or above the threshold. 1: something is. 2: wrong usage, or a file could not be checked.\n"},
    {"execute", "FILE --token TOKEN|- [--dry-run] [--connection ID] …", remote_execute, "run an analysed migration on the real database",
     "TOKEN is what `autodb analyze FILE --token-file PATH` left in PATH; \"-\" reads it from standard input (`--token - < PATH`), which "
     "keeps\n"
     "it out of the process list. It is good for one run of exactly that file on that database, within an hour; the same command again\n"
     "waits for the same run.\n\n"
     "  --dry-run                everything up to COMMIT, then ROLLBACK, where the statements allow it; uses the token, too\n"
     "  --lock-timeout MS        how long a statement queues for its locks before it is tried again later (3000)\n"
     "  --lock-retries N         how often it is (10)\n"
     "  --statement-timeout MS   the most a statement may take (no limit)\n"
     "  --timeout SECONDS        how long to wait for the end (3600); the run goes on without us, and `autodb job ID` waits again\n"
     "  --json                   print the job as the server gave it\n\n"
     "Exit 0: it ran as asked.\n" CONNECTION_HELP REMOTE_HELP},
    {"explain", "FILE [--json]", remote_explain, "read a plan: what EXPLAIN printed, as text or JSON",
     "FILE \"-\" reads standard input: psql's output, a paste from a tool, auto_explain's log lines. Prints each node's own time (or "
     "cost), how "
     "far\n"
     "its estimate was off, and what is worth doing. No connection is needed.\n" REMOTE_HELP},
    {"optimize", "FILE [--analyze] [--compare] [--connection ID] [--json]", remote_optimize,
     "plan a query on the database, say what is wrong with it, and how else to write it",
     "FILE holds one statement; \"-\" reads standard input. --analyze runs it, read-only and rolled back, to measure instead of "
     "guess.\n--compare runs it and each rewrite on the live data, and shows only those that give the same rows.\n" CONNECTION_HELP
         REMOTE_HELP},
    {"workload", "[FILE] [--budget SIZE] [--max-indexes N] [--connection ID] [--json]", remote_workload,
     "one set of indexes for many queries, each tried before it is recommended",
     "FILE holds statements, or JSON: [{\"sql\": …, \"weight\": how often}]; \"-\" reads standard input. Without FILE: what took most "
     "time\n"
     "in the database's pg_stat_statements.\n\n"
     "  --budget SIZE            bytes that all of them may take together, or a number with kB, MB, GB\n"
     "  --max-indexes N          at most so many (100)\n\n"
     "Prints each query's cost before and after, the indexes with their sizes and what they cost writers, and indexes to "
     "drop.\n" CONNECTION_HELP REMOTE_HELP},
    {"introspect", "[--connection ID] [--schemas a,b] [--json]", remote_introspect, "read a database's schema into a new snapshot",
     CONNECTION_HELP REMOTE_HELP},
    {"connection add", "--name NAME [--type postgresql] [--no-verify] CONNECTION_STRING", remote_connection_add,
     "register a client database",
     "CONNECTION_STRING is a postgresql:// URI or key=value pairs; \"-\" reads it from standard input, which keeps the password out of "
     "the\n"
     "process list. --no-verify stores it without connecting first. Prints the connection's id.\n" REMOTE_HELP},
    {"connection list", "[--json]", remote_connection_list, "list the client databases", REMOTE_HELP},
    {"context upload", "FILE… [--connection ID] [--json]", context_upload, "upload documents about a database",
     "PDF, Markdown, HTML, SQL, CSV, JSON or text, at most 10 MiB each. A file whose name is known replaces that document. Waits until "
     "all\n"
     "can be found; exit 1 when one can't.\n" CONNECTION_HELP REMOTE_HELP},
    {"context list", "[--status STATUS] [--connection ID] [--json]", context_list, "list the documents",
     "The newest 50. STATUS: pending, processing, ready or failed.\n" CONNECTION_HELP REMOTE_HELP},
    {"context show", "ID [--json]", context_show, "show one document", REMOTE_HELP},
    {"context get", "ID [--output FILE]", context_get, "give a document's original back",
     "Without --output: to standard output. FILE must not be there yet.\n" REMOTE_HELP},
    {"context delete", "ID", context_delete, "forget a document", REMOTE_HELP},
    {"context query", "QUESTION [--tables N] [--documents N] [--connection ID] [--json]", context_query,
     "ask which tables and which passages a question is about", CONNECTION_HELP REMOTE_HELP},
    {"context reembed", "[--connection ID] [--json]", context_reembed, "make all vectors anew, by the model configured now",
     "After AUTODB_EMBED_PROVIDER, _MODEL or _DIMS of the workers were changed. Searches go on with the former model until the last\n"
     "document is done; what was interrupted goes on when it is called again.\n" CONNECTION_HELP REMOTE_HELP},
    {"context s3", "BUCKET [--prefix P] [--include GLOB]… [--exclude GLOB]… …", context_s3, "read documents out of a bucket",
     "  --region REGION       where the bucket is, when it can't be found out\n"
     "  --endpoint-url URL    another server than AWS; AUTODB_S3_ALLOW_ENDPOINTS of the installation must name it\n"
     "  --delete-missing      forget documents of this prefix whose object is gone\n"
     "  --requester-pays      we pay for the requests\n\n"
     "What is unchanged is not read again. Exit 1 when an object failed.\n" CONNECTION_HELP REMOTE_HELP},
    {"job", "ID [--retry] [--follow] [--json] [--timeout SECONDS]", remote_job, "wait for a job and print its outcome",
     "--retry queues a failed, cancelled or dead one again first; an execution goes on where it stopped. --follow prints each change of "
     "its "
     "state\nand progress on standard error as it happens, over restarts of the server.\n" REMOTE_HELP},
    {"webhook add", "URL [--event EVENT]… [--kind KIND]… [--description TEXT] [--json]", webhook_add, "have a server told when jobs end",
     "Prints the webhook's id and, this once, the secret that signs what it gets (Standard Webhooks 1.0). EVENT: job.succeeded, "
     "job.failed,\n"
     "job.dead, job.cancelled (these four are the default), schema.changed. KIND: only jobs of that kind, such as "
     "migration.analyze.\n" REMOTE_HELP},
    {"webhook list", "[--json]", webhook_list, "list the webhooks and how they do", REMOTE_HELP},
    {"webhook rotate", "ID | --callbacks", webhook_rotate, "make a new secret for a webhook, or for callbacks",
     "The old secret signs as well for 24 h. --callbacks is about the one that signs requests to a job's callback_url, and makes the "
     "first.\n" REMOTE_HELP},
    {"webhook test", "ID", webhook_test, "send a webhook a test", "Prints the id of the delivery.\n" REMOTE_HELP},
    {"webhook deliveries", "[ID] [--redeliver DELIVERY] [--json]", webhook_deliveries, "show what was delivered, or deliver it again",
     "Without ID: to all webhooks, and to callbacks. The newest 50.\n" REMOTE_HELP},
    {"schema up", "", schema_up, "bring AutoDB's own database to this version",
     "Applies schema/NNNN_*.sql (AUTODB_SCHEMA_DIR, else beside this program) to AUTODB_DATABASE_URL, each in a transaction, under a "
     "lock:\n"
     "any number may run at once. Refuses when a file that was applied has been edited, or one is missing.\n"},
    {"schema status", "", schema_status, "list which of its versions are applied", "Exit 1 when something is pending or does not match.\n"},
    {"key create", "--owner NAME --role admin|user [--name TEXT]", key_create, "make an API key, directly in AUTODB_DATABASE_URL",
     "Prints the key once; only its SHA-256 is stored. The owner is made when it is new.\n"},
    {"owner set", "NAME [--rate N|default] [--burst N|default] [--max-running N|default] [--model-tokens N|default]", owner_set,
     "limit what an owner may do, directly in AUTODB_DATABASE_URL",
     "  --rate N         jobs accepted a second, by each API process; 0 = no limit (AUTODB_OWNER_RATE)\n"
     "  --burst N        of them at once; 0 = two seconds' worth (AUTODB_OWNER_BURST)\n"
     "  --max-running N  jobs that run at once, on all workers; the others wait; 0 = no cap (AUTODB_OWNER_RUNNING)\n"
     "  --model-tokens N tokens of the language model in a day; 0 = no limit (AUTODB_OWNER_TOKENS)\n\n"
     "\"default\" goes back to the setting in parentheses. Holds within five seconds.\n"},
    {"owner list", "", owner_list, "list the owners and their limits", NULL},
    {"queue status", "[--json]", queue_status, "show how full the queue is, and what is paused", REMOTE_HELP},
    {"queue pause", "--kind KIND|--lane LANE [--json]", queue_pause, "start no more jobs of a kind or a lane",
     "What runs goes on; what is queued stays queued, and more is accepted. Other kinds of the lane are not held up.\n" REMOTE_HELP},
    {"queue resume", "--kind KIND|--lane LANE [--json]", queue_resume, "go on with what was paused", REMOTE_HELP},
    {"config", "[--markdown]", run_config, "print every setting, as help or as the table in README.md", NULL},
    {"version", "", run_version, "print the version", NULL},
    {"help", "[COMMAND]", run_help, "explain a command", NULL},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_overview(FILE *out) {
  fprintf(out,
          "autodb " AUTODB_VERSION " - analyses, tries and explains database migrations before they run\n\nusage: autodb COMMAND …\n\n");
  for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "  %-16s %s\n", commands[i].name, commands[i].help);
  fprintf(out, "\n`autodb help COMMAND` tells more. Exit status: 0 done, 1 could not be done, 2 wrong usage (`check` tells its own).\n");
}

static void print_command(FILE *out, const struct cli_command *command) {
  fprintf(out, "usage: autodb %s %s\n\n%s\n", command->name, command->args, command->help);
  if (command->details) fprintf(out, "\n%s", command->details);
}

/* The row whose name argv begins with; its words are counted in ret_words. */
static const struct cli_command *find(int argc, char **argv, int *ret_words) {
  char two[64] = "";
  if (argc > 1) snprintf(two, sizeof two, "%s %s", argv[0], argv[1]);
  for (int i = 0; i < COMMAND_COUNT; i++) {
    bool second = strcmp(commands[i].name, two) == 0;
    if (!second && strcmp(commands[i].name, argv[0]) != 0) continue;
    *ret_words = second ? 2 : 1;
    return &commands[i];
  }
  return NULL;
}

/* "schema" names no command but a family of them: prints those. False: there are none. */
static bool print_family(FILE *out, const char *name) {
  size_t len = strlen(name);
  bool any = false;
  for (int i = 0; i < COMMAND_COUNT; i++) {
    if (strncmp(commands[i].name, name, len) != 0 || commands[i].name[len] != ' ') continue;
    fprintf(out, "%s  autodb %s%s%s\n", any ? "" : "there are\n", commands[i].name, *commands[i].args ? " " : "", commands[i].args);
    any = true;
  }
  return any;
}

static int unknown(int argc, char **argv) {
  fprintf(stderr, "autodb: `%s%s%s` is not a command; ", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
  if (!print_family(stderr, argv[0])) fprintf(stderr, "`autodb help` lists them\n");
  return CLI_USAGE;
}

static int run_help(const struct cli_command *self, int argc, char **argv) {
  (void)self;
  int words = 0;
  const struct cli_command *command = argc > 0 ? find(argc, argv, &words) : NULL;
  if (argc > 0 && !command) return argc == 1 && print_family(stdout, argv[0]) ? CLI_OK : unknown(argc, argv);
  if (command)
    print_command(stdout, command);
  else
    print_overview(stdout);
  return CLI_OK;
}

static int run_version(const struct cli_command *self, int argc, char **argv) {
  int count = 0;
  if (!cli_args(self, argc, argv, NULL, 0, NULL, 0, &count)) return CLI_USAGE;
  printf("autodb " AUTODB_VERSION "\n");
  return CLI_OK;
}

static int run_config(const struct cli_command *self, int argc, char **argv) {
  bool markdown = false;
  int count = 0;
  const struct cli_option options[] = {{"--markdown", NULL, &markdown, NULL}};
  if (!cli_args(self, argc, argv, options, 1, NULL, 0, &count)) return CLI_USAGE;
  if (markdown)
    config_print_markdown(stdout);
  else
    config_print_help(stdout, "autodb", "COMMAND …");
  return CLI_OK;
}

static bool wants_help(int argc, char **argv) {
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
  return false;
}

/* Output that could not be written (a full disk) is a failure, not silence. */
static int flushed(int code) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return code;
  perror("autodb: standard output");
  return CLI_FAILED;
}

int cli_main(int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return CLI_USAGE;
  }
  argc--;
  argv++;
  if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
    print_overview(stdout);
    return flushed(CLI_OK);
  }
  if (strcmp(argv[0], "--version") == 0) return flushed(run_version(&commands[COMMAND_COUNT - 2], 0, NULL));
  int words = 0;
  const struct cli_command *command = find(argc, argv, &words);
  if (!command && argc == 2 && wants_help(1, argv + 1) && print_family(stdout, argv[0])) return flushed(CLI_OK);
  if (!command) return unknown(argc, argv);
  if (wants_help(argc - words, argv + words)) {
    print_command(stdout, command);
    return flushed(CLI_OK);
  }
  return flushed(command->handler(command, argc - words, argv + words));
}
