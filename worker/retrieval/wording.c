/* wording.c - see wording.h. To add an abbreviation: a line here, if nobody would take it for anything else (or what else, too). */
#include "worker/retrieval/wording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/retrieval/synonyms.h"

#define PARTS 3
#define SHORTEST 3     /* letters of a common word that is a part of another … */
#define SHORTEST_OWN 4 /* … and of one that only the schema has */
#define BONES_LEAST 3
#define BONES_MEANT 3 /* words that one may be the bones of */

/* Each with what it means; sorted. */
static const char *const abbreviations[] = {
    /* a */
    "abs absence", "acc account", "acct account", "accts account", "act activity actual", "addr address", "adj adjustment",
    "adm admission administration", "admin administration administrator", "agmt agreement contract", "alloc allocation", "alt alternative",
    "amt amount", "ann annual", "ap accounts payable supplier", "app application", "appl application", "appr approval", "appt appointment",
    "ar accounts receivable customer", "asgn assignment", "asmt assessment", "assgn assignment", "attr attribute", "auth authorization",
    "avail availability", "avg average",
    /* b */
    "bal balance", "ben benefit beneficiary", "bldg building", "bndl bundle", "bnft benefit", "bom bill of materials component",
    "br branch", "brch branch", "bus business",
    /* c */
    "cal calendar", "calc calculation", "cap capacity", "capa corrective action", "capex capital expense investment", "cat category",
    "ccy currency", "cert certificate certification", "cfg configuration", "chg change charge", "chk check", "clm claim", "cls class",
    "cmpl completed", "cmsn commission", "cnt count", "cntr center contract", "cntry country", "co company", "coll collection",
    "com commission", "comm commission communication", "comp component company compensation", "conf confirmation conference",
    "config configuration", "cons consumption", "cont contact contract", "contr contract", "cpn coupon", "cr credit", "crd card",
    "cred credit", "crm customer relationship", "crncy currency", "crs course", "csat customer satisfaction", "cst cost", "ctr center",
    "ctry country", "cty city", "cur current currency", "curr current currency", "cust customer", "cvg coverage", "cvrg coverage",
    "cxl cancellation",
    /* d */
    "ded deduction", "def defect definition", "del delivery", "dep deposit department", "dept department", "desc description",
    "descr description", "dest destination", "dev device", "dflt default", "diag diagnosis", "dim dimension", "disc discount",
    "dist district distribution distance", "distr distribution", "div division", "dlvry delivery", "dob date of birth", "doc document",
    "docs documents", "dpt department", "drv driver", "dt date", "dtl detail", "dur duration", "dx diagnosis",
    /* e */
    "eff effective", "emp employee", "empl employee", "eng engineering engine", "enr enrollment", "enrl enrollment", "eqp equipment",
    "equip equipment", "est estimate", "eta expected arrival", "eval evaluation", "evt event", "exam examination",
    "exp expense expiry experiment", "expir expiry", "ext external extension",
    /* f */
    "fa fixed asset", "fac facility faculty", "fclty facility faculty", "fcst forecast", "fin finance", "flt flight", "fname first name",
    "freq frequency", "fst first", "fte full time employee", "fx exchange rate currency",
    /* g */
    "gdpr data protection privacy consent", "gl general ledger", "govt government", "grp group", "grs gross",
    /* h */
    "hcp physician", "hdr header", "hist history", "hosp hospital", "hr human resources hour", "hrs hours",
    /* i */
    "ind indicator", "info information", "ins insurance", "insp inspection", "inst institution installation",
    "instr instruction instructor", "int interest", "inv invoice inventory", "invc invoice", "invt inventory", "itm item",
    /* j */
    "je journal entry", "jrnl journal",
    /* k */
    "kyc know your customer identity",
    /* l */
    "lab laboratory", "lang language", "lbr labor", "lic license", "lmt limit", "ln line loan", "lname last name", "loc location",
    "lst last list", "lvl level",
    /* m */
    "maint maintenance", "mat material", "matl material", "max maximum", "mbr member", "med medication medical", "meds medication",
    "mfa two factor authentication", "mfg manufacturing manufacturer", "mfr manufacturer", "mgmt management", "mgr manager",
    "min minimum minutes", "misc other", "mkt market", "mktg marketing", "mn maintenance", "mnth month", "mo month",
    "mrr monthly recurring revenue", "msg message", "msgs messages", "mst master", "mstr master", "mtg meeting mortgage", "mth month",
    "mthly monthly", "mtr meter", "mvmt movement",
    /* n */
    "nbr number", "nm name", "notif notification", "nps net promoter score recommend", "num number",
    /* o */
    "obj object", "obs observation", "occ occupancy", "okr objective key result", "op operation", "oper operation operator",
    "opex operating expense", "opp opportunity", "oppty opportunity", "opr operation operator", "ops operations", "ord order", "ordr order",
    "org organization", "orig origin", "ot overtime",
    /* p */
    "pass passenger", "pat patient", "pax passenger", "pct percent", "pen penalty", "perf performance", "perm permission permit",
    "ph phone", "pkg package", "plcy policy", "pln plan", "pmt payment", "pmts payments", "pnlty penalty", "po purchase order",
    "pol policy", "pos position point of sale", "prc price", "prd product period", "prem premium", "proc procedure process",
    "prod product production", "prof professor profile", "prog program", "proj project", "prom promised promotion", "promo promotion",
    "prop property", "prov provider", "prsn person", "pt patient point part", "pto vacation absence leave", "purch purchase",
    "pwd password", "pwr power", "px price", "pymt payment",
    /* q */
    "qa quality assurance", "qc quality control", "qlty quality", "qt quote", "qte quote", "qtr quarter", "qty quantity",
    /* r */
    "rcpt receipt", "rcv received", "rcvd received", "rec record receipt", "recv received", "ref reference",
    "reg region registration regular", "rel relation", "rep representative report", "req request requirement",
    "res reservation result resource", "resv reservation", "ret return", "rev revenue review", "rfq request for quote", "rgn region",
    "rm room", "rma return", "rpt report", "rqst request", "rslt result", "rsn reason", "rsv reservation", "rte route",
    "rtg rating routing", "rtn return", "rx prescription",
    /* s */
    "sal salary", "sched schedule", "sec section security", "seg segment", "sem semester", "seq sequence", "ser serial", "sess session",
    "sgmt segment", "shp shipment", "shpmt shipment", "shpt shipment", "sig signature", "sku product stock item", "sla service level",
    "sls sales", "so sales order", "spec specification specialty", "sr service request", "sso single sign on", "st street state status",
    "stat status statistics", "std standard student", "stk stock", "stmt statement", "sts status", "stu student", "stud student",
    "sub subscription", "subj subject", "subs subscription subscriber", "supp supplier support", "suppl supplier", "surg surgery",
    "svc service", "svcs services", "svy survey", "sys system",
    /* t */
    "tech technician technology", "tel telephone", "temp temperature", "terr territory", "tgt target", "tkt ticket", "tm time",
    "tmpl template", "tot total", "tran transaction", "trans transaction", "trk truck tracking", "trn training transaction",
    "trnsp transport", "trx transaction", "ttl title total", "tx transaction", "txn transaction", "txns transactions", "typ type",
    "tz time zone",
    /* u */
    "univ university", "uom unit of measure", "usg usage", "usr user", "util utility utilization",
    /* v */
    "val value", "var variant variable", "veh vehicle", "vend vendor", "ver version", "vin vehicle", "vis visit", "vndr vendor",
    "vol volume volunteer", "vou voucher",
    /* w */
    "wh warehouse", "whs warehouse", "whse warehouse", "wht withholding tax", "wk week work", "wkly weekly", "wo work order production",
    "wrk work", "wrt write", "wt weight",
    /* x */
    "xact transaction", "xfer transfer", "xfr transfer", "xref reference",
    /* y */
    "yr year"};

/* What is behind a word that is run together with it, and says nothing of what a table is about; sorted. */
static const char *const tails[] = {"cd", "date", "dt", "flag", "flg", "id", "ids", "key", "nbr", "nm", "no", "ts"};

/* Nouns that a stemmer takes for a form of something else; sorted. */
static const char *const nouns[] = {"authority",  "booking",    "building", "customs", "department",   "engineer",
                                    "experiment", "housing",    "listing",  "opening", "organization", "parking",
                                    "posting",    "production", "rating",   "reading", "training"};

struct own { /* a word of the schema */
  uint32_t hash;
  const char *word;
  const char *means; /* as wording_put puts it; NULL until it is asked for: names share most of their words */
};
struct wording {
  struct arena *arena;
  struct own *words; /* open addressing */
  size_t mask, count;
};

/* --- words that are known --- */

static int compare_words(const void *key, const void *entry) { return strcmp(key, *(const char *const *)entry); }

static int compare_abbreviations(const void *key, const void *entry) {
  const char *word = key, *of = *(const char *const *)entry;
  size_t len = strcspn(of, " ");
  int order = strncmp(word, of, len);
  return order ? order : word[len] != '\0';
}

static const char *abbreviated(const char *word) {
  const char *const *found =
      bsearch(word, abbreviations, sizeof abbreviations / sizeof *abbreviations, sizeof *abbreviations, compare_abbreviations);
  return found ? *found + strcspn(*found, " ") + 1 : NULL;
}

const char *wording_stem(const struct lexeme *lexeme) {
  char singular[WORDING_BYTES];
  const char *word = lexeme->word;
  size_t len = strlen(word);
  if (len < sizeof "rating" - 1 || len >= sizeof singular) return lexeme->stem;
  const char *const *noun = bsearch(word, nouns, sizeof nouns / sizeof *nouns, sizeof *nouns, compare_words);
  if (!noun && word[len - 1] == 's') {
    snprintf(singular, sizeof singular, "%.*s", (int)len - 1, word);
    noun = bsearch(singular, nouns, sizeof nouns / sizeof *nouns, sizeof *nouns, compare_words);
  }
  return noun ? *noun : lexeme->stem;
}

uint32_t wording_term(const struct lexeme *lexeme) {
  const char *stem = wording_stem(lexeme);
  return stem == lexeme->stem ? lexeme->term : lexicon_term(stem);
}

static bool is_tail(const char *word) { return bsearch(word, tails, sizeof tails / sizeof *tails, sizeof *tails, compare_words) != NULL; }

static struct own *own_of(const struct wording *wording, const char *word) {
  uint32_t hash = lexicon_term(word);
  size_t at = hash & wording->mask;
  while (wording->words[at].word && (wording->words[at].hash != hash || strcmp(wording->words[at].word, word) != 0))
    at = (at + 1) & wording->mask;
  return &wording->words[at];
}

/* As it stands, or as one of several. */
static bool is_common(const char *word) {
  char singular[WORDING_BYTES];
  size_t len = strlen(word);
  if (synonyms_have(word)) return true;
  if (len < SHORTEST + 1 || word[len - 1] != 's') return false;
  snprintf(singular, sizeof singular, "%.*s", (int)len - 1, word);
  return synonyms_have(singular);
}

static bool is_part(const struct wording *wording, const char *word, const char *whole) {
  size_t len = strlen(word);
  if (len < SHORTEST) return false;
  if (is_common(word) || abbreviated(word)) return true;
  return len >= SHORTEST_OWN && strcmp(word, whole) != 0 && own_of(wording, word)->word;
}

static bool is_vowel(char c) { return c && strchr("aeiouy", c) != NULL; }

size_t wording_bones(const char *word, char bones[WORDING_BYTES]) {
  size_t len = 0;
  for (const char *at = word; *at && len + 1 < WORDING_BYTES; at++)
    if (at == word || (!is_vowel(*at) && *at != at[-1])) bones[len++] = *at;
  bones[len] = '\0';
  return len;
}

static bool is_bones(const char *word) {
  for (const char *at = word + 1; *word && *at; at++)
    if (is_vowel(*at)) return false;
  return true;
}

/* Many a word ends like an abbreviation ("shippers"): at the end only those that can't be an end. */
static bool is_last(const struct wording *wording, const char *word, const char *whole) {
  return is_part(wording, word, whole) && (!abbreviated(word) || is_common(word) || is_bones(word));
}

/* --- the words of a name --- */

const char *wording_next(const char *at, char word[WORDING_BYTES]) {
  size_t len = 0;
  while (*at && !((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z')) at++;
  if (!*at) return NULL;
  for (; (*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'; at++) {
    bool upper = *at <= 'Z', before_upper = len && at[-1] <= 'Z', lower_follows = at[1] >= 'a' && at[1] <= 'z';
    if (len && upper && (!before_upper || lower_follows)) break;
    if (len + 1 < WORDING_BYTES) word[len++] = (char)(*at | 0x20);
  }
  word[len] = '\0';
  return at;
}

/* Fewest parts first; a tail ends the last of them. Parts are put at `out`, each behind a blank; false: it is not made of known ones. */
static bool put_parts(const struct wording *wording, const char *word, const char *whole, int parts, struct buf *out);

static void put_part(const char *part, struct buf *out) {
  const char *means = abbreviated(part);
  buf_printf(out, " %s", means ? means : part);
}

static bool put_two(const struct wording *wording, const char *word, size_t at, const char *whole, int parts, struct buf *out) {
  char first[WORDING_BYTES];
  size_t mark = out->len;
  snprintf(first, sizeof first, "%.*s", (int)at, word);
  if (!is_part(wording, first, whole)) return false;
  put_part(first, out);
  if (is_tail(word + at) || put_parts(wording, word + at, whole, parts - 1, out)) return true;
  buf_cut(out, mark);
  return false;
}

static bool put_parts(const struct wording *wording, const char *word, const char *whole, int parts, struct buf *out) {
  size_t len = strlen(word);
  if (word != whole && is_last(wording, word, whole)) return put_part(word, out), true;
  for (size_t at = len - 1; parts > 1 && at >= SHORTEST && at < len; at--)
    if (put_two(wording, word, at, whole, parts, out)) return true;
  return false;
}

/* --- bones --- */

static bool has_bones(const char *word, const char *bones, size_t len) {
  char of[WORDING_BYTES];
  size_t of_len = wording_bones(word, of);
  if (strcmp(of, bones) == 0) return true;
  if (len <= BONES_LEAST || of_len != len + 1) return len > BONES_LEAST && strncmp(of, bones, len) == 0;
  size_t same = 0; /* one may be left out, but neither the first nor the last */
  while (same < len && of[same] == bones[same]) same++;
  return same && strcmp(of + same + 1, bones + same) == 0;
}

struct meant {
  const char *bones;
  size_t len;
  int count;
  struct buf *out;
};

static bool put_if_bones(void *arg, const char *word) {
  struct meant *meant = arg;
  if (*word != *meant->bones || strlen(word) < meant->len + 1 || !has_bones(word, meant->bones, meant->len)) return true;
  buf_printf(meant->out, " %s", word);
  return ++meant->count < BONES_MEANT;
}

static void put_meant_by_bones(const struct wording *wording, const char *word, struct buf *out) {
  struct meant meant = {.bones = word, .len = strlen(word), .out = out};
  char bones[WORDING_BYTES];
  if (meant.len < BONES_LEAST || wording_bones(word, bones) != meant.len) return;
  if (!synonyms_each(put_if_bones, &meant)) return;
  for (size_t i = 0; i <= wording->mask; i++)
    if (wording->words[i].word && strlen(wording->words[i].word) > SHORTEST_OWN && !put_if_bones(&meant, wording->words[i].word)) return;
}

/* --- all of it --- */

static void put_word(const struct wording *wording, const char *word, struct buf *out) {
  const char *means = abbreviated(word);
  if (means)
    buf_printf(out, " %s", means);
  else if (!is_common(word) && !put_parts(wording, word, word, PARTS, out))
    put_meant_by_bones(wording, word, out);
}

void wording_put(struct wording *wording, const char *name, struct buf *out) {
  char word[WORDING_BYTES];
  while ((name = wording_next(name, word))) {
    struct own *own = own_of(wording, word);
    size_t mark = out->len;
    if (own->means) {
      buf_puts(out, own->means);
      continue;
    }
    put_word(wording, word, out);
    if (own->word && buf_ok(out)) own->means = arena_strndup(wording->arena, buf_str(out) + mark, out->len - mark);
  }
}

static size_t count_words(const struct snapshot *snapshot) {
  size_t count = 0;
  for (size_t t = 0; t < snapshot->table_count; t++) {
    const struct snap_table *table = &snapshot->tables[t];
    count += strlen(table->name) + (table->comment ? strlen(table->comment) : 0);
    for (size_t c = 0; c < table->column_count; c++)
      count += strlen(table->columns[c].name) + (table->columns[c].comment ? strlen(table->columns[c].comment) : 0);
  }
  return count / SHORTEST;
}

static bool add_own(struct wording *wording, const char *text, struct arena *arena) {
  char word[WORDING_BYTES];
  while (text && (text = wording_next(text, word))) {
    struct own *own = own_of(wording, word);
    if (own->word || strlen(word) < SHORTEST || wording->count * 2 > wording->mask) continue;
    *own = (struct own){.hash = lexicon_term(word), .word = arena_strdup(arena, word)};
    if (!own->word) return false;
    wording->count++;
  }
  return true;
}

struct wording *wording_new(const struct snapshot *snapshot, struct arena *arena) {
  struct wording *wording = ARENA_NEW(arena, struct wording);
  size_t size = 1024, most = count_words(snapshot);
  while (size < most * 2) size *= 2;
  if (wording) *wording = (struct wording){.arena = arena, .words = arena_calloc(arena, size, sizeof *wording->words), .mask = size - 1};
  if (!wording || !wording->words) return NULL;
  for (size_t t = 0; t < snapshot->table_count; t++) {
    const struct snap_table *table = &snapshot->tables[t];
    if (!add_own(wording, table->name, arena) || !add_own(wording, table->comment, arena)) return NULL;
    for (size_t c = 0; c < table->column_count; c++)
      if (!add_own(wording, table->columns[c].name, arena) || !add_own(wording, table->columns[c].comment, arena)) return NULL;
  }
  return wording;
}
