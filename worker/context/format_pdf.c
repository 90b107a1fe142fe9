/* format_pdf.c - PDF by poppler's pdftotext, in a jail: no network, no files but its own program and libraries, little time and memory.
 *
 * Scripts, attachments and forms are nothing to pdftotext. It gets the document as its standard input and gives text with a form feed after
 * each page; what repeats at the top or bottom of the pages is left out, words parted at a line's end are joined. */
#include <ctype.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/limits.h"
#include "sandbox/process.h"
#include "sandbox/seccomp.h"
#include "worker/context/extract.h"

#define PDF_MS 30000
#define PDF_CPU "--cpu=20"          /* seconds */
#define PDF_MEMORY "--as=805306368" /* bytes */
#define PDF_FILES "--fsize=0"       /* it writes none: standard output is a pipe */
#define SCANNED_BYTES 16            /* of text a page; fewer are page numbers and stamps */
#define REPEATED_PAGES 3            /* a line on at least so many … */
#define REPEATED_SHARE 2            /* … and on one page in so many is a header or footer */
#define EDGE_LINES 2                /* at either end of a page that may be one */
#define EDGE_BYTES 160

/* Readers look for the mark in the first 1024 bytes, but a text may speak of it: behind something else it takes the end of a PDF, too. */
static bool is_pdf(const char *bytes, size_t len, bool named) {
  const char *mark = memmem(bytes, len < 1024 ? len : 1024, "%PDF-", 5);
  return mark && (mark == bytes || named || memmem(bytes, len, "startxref", 9));
}

/* --- in the jail --- */

static int as_file(const char *bytes, size_t len) {
  int fd = memfd_create("document", MFD_CLOEXEC);
  for (size_t at = 0; fd >= 0 && at < len;) {
    ssize_t wrote = write(fd, bytes + at, len - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      close(fd);
      return -1;
    }
    at += (size_t)wrote;
  }
  if (fd >= 0 && lseek(fd, 0, SEEK_SET) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static enum status run_jailed(int input, int filter, struct buf *output, struct error *err) {
  char filter_fd[16];
  snprintf(filter_fd, sizeof filter_fd, "%d", filter);
  const char *const argv[] = {"/usr/bin/prlimit",
                              PDF_CPU,
                              PDF_MEMORY,
                              PDF_FILES,
                              "--core=0",
                              "--nofile=64",
                              "--",
                              "/usr/bin/bwrap",
                              "--unshare-all",
                              "--unshare-user",
                              "--uid",
                              "1000",
                              "--gid",
                              "1000",
                              "--hostname",
                              "jail",
                              "--die-with-parent",
                              "--new-session",
                              "--clearenv",
                              "--setenv",
                              "LC_ALL",
                              "C.UTF-8",
                              "--cap-drop",
                              "ALL",
                              "--seccomp",
                              filter_fd,
                              "--ro-bind-try",
                              "/usr/lib/x86_64-linux-gnu",
                              "/usr/lib/x86_64-linux-gnu",
                              "--ro-bind-try",
                              "/usr/lib/aarch64-linux-gnu",
                              "/usr/lib/aarch64-linux-gnu",
                              "--ro-bind-try",
                              "/usr/lib64",
                              "/usr/lib64",
                              "--ro-bind-try",
                              "/etc/ld.so.cache",
                              "/etc/ld.so.cache",
                              "--symlink",
                              "usr/lib",
                              "/lib",
                              "--symlink",
                              "usr/lib64",
                              "/lib64",
                              "--ro-bind-try",
                              "/usr/share/poppler",
                              "/usr/share/poppler",
                              "--ro-bind",
                              "/usr/bin/pdftotext",
                              "/usr/bin/pdftotext",
                              "--remount-ro",
                              "/",
                              "--chdir",
                              "/",
                              "--",
                              "/usr/bin/pdftotext",

                              "-enc",
                              "UTF-8",
                              "-eol",
                              "unix",
                              "-",
                              "-",
                              NULL};
  return process_run(&(struct process_run){.argv = argv, .input_fd = input, .keep_fd = filter, .timeout_ms = PDF_MS, .output = output},
                     err);
}

/* What ended it, in words for whoever sent the document. */
static enum status explain(enum status status, const struct error *why, struct error *err) {
  if (strstr(why->message, "bwrap:") || strstr(why->message, "prlimit:") || strstr(why->message, "can't "))
    return error_set_code(err, ERR_VALIDATION, "NO_JAIL", "PDF can't be read on this worker, which has no place to read it safely: %.300s",
                          why->message);
  if (strstr(why->message, "password") || strstr(why->message, "not allowed"))
    return error_set_code(err, ERR_VALIDATION, "ENCRYPTED", "the PDF is encrypted: save it without a password");
  if (status == ERR_TIMEOUT || strstr(why->message, "signal") || strstr(why->message, "emory"))
    return error_set_code(err, ERR_VALIDATION, "TOO_COMPLEX", "the PDF takes more time or memory to read than it may have: split it");
  return error_set_code(err, ERR_VALIDATION, "UNREADABLE", "the PDF is damaged: pdftotext can't read it");
}

static enum status run_pdftotext(const char *bytes, size_t len, struct buf *output, struct error *err) {
  ERROR_AUTO why = {0};
  int input = as_file(bytes, len), filter = seccomp_filter_fd();
  enum status status = input < 0 || filter < 0 ? error_set(&why, ERR_UNAVAILABLE, "can't make memory for the document") : OK;
  if (!status) status = run_jailed(input, filter, output, &why);
  if (input >= 0) close(input);
  if (filter >= 0) close(filter);
  if (!status && !buf_ok(output))
    return error_set_code(err, ERR_VALIDATION, "TOO_LARGE", "the PDF's text is larger than %d MiB: split it",
                          LIMIT_DOCUMENT_TEXT_BYTES >> 20);
  return status ? explain(status, &why, err) : OK;
}

/* --- headers and footers --- */

struct page {
  const char *text;
  size_t len;
};
struct pages {
  struct page *items;
  size_t count;
};

/* A line with its numbers alike, since pages count. */
static void fold(const char *line, size_t len, char out[EDGE_BYTES]) {
  size_t used = 0;
  for (size_t i = 0; i < len && used < EDGE_BYTES - 1; i++) {
    if (isspace((unsigned char)line[i])) continue;
    out[used++] = isdigit((unsigned char)line[i]) ? '0' : line[i];
  }
  out[used] = '\0';
}

/* The n-th line with text from the top, or from the bottom when n is negative (-1 the last); false when there is none. */
static bool edge_line(const struct page *page, int n, size_t *ret_from, size_t *ret_to) {
  bool down = n >= 0;
  size_t at = down ? 0 : page->len;
  for (int left = down ? n + 1 : -n; left > 0;) {
    if (down ? at >= page->len : at == 0) return false;
    size_t from = at, to = at;
    if (down) {
      while (to < page->len && page->text[to] != '\n') to++;
      at = to + 1;
    } else {
      while (from > 0 && page->text[from - 1] != '\n') from--;
      at = from ? from - 1 : 0;
    }
    size_t blank = from;
    while (blank < to && isspace((unsigned char)page->text[blank])) blank++;
    if (blank < to && --left == 0) {
      *ret_from = from;
      *ret_to = to;
      return true;
    }
    if (!down && from == 0) return false;
  }
  return false;
}

static bool is_repeated(const struct pages *pages, size_t page, int n) {
  char mine[EDGE_BYTES], other[EDGE_BYTES];
  size_t from, to, same = 0, looked = 0;
  if (pages->count < REPEATED_PAGES || !edge_line(&pages->items[page], n, &from, &to)) return false;
  fold(pages->items[page].text + from, to - from, mine);
  size_t first = page > 10 ? page - 10 : 0; /* neighbours tell enough: a document of a thousand pages is not compared with itself */
  for (size_t i = first; i < pages->count && i < first + 21; i++) {
    if (!edge_line(&pages->items[i], n, &from, &to)) continue;
    fold(pages->items[i].text + from, to - from, other);
    looked++;
    same += strcmp(mine, other) == 0;
  }
  return same >= REPEATED_PAGES && same * REPEATED_SHARE >= looked;
}

/* The page without what repeats at its ends. */
static struct page body_of(const struct pages *pages, size_t index) {
  struct page page = pages->items[index];
  size_t from = 0, to = page.len, a, b;
  for (int n = 0; n < EDGE_LINES && is_repeated(pages, index, n) && edge_line(&page, n, &a, &b); n++) from = b;
  for (int n = 1; n <= EDGE_LINES && is_repeated(pages, index, -n) && edge_line(&page, -n, &a, &b); n++) to = a;
  return from < to ? (struct page){page.text + from, to - from} : (struct page){page.text, 0};
}

/* --- text --- */

/* Appends lines as one paragraph: "exam-\nple" is one word. */
static void put_paragraph(struct extractor *extractor, struct buf *scratch, const char *text, size_t len) {
  buf_reset(scratch);
  for (size_t i = 0; i < len; i++) {
    bool parted = text[i] == '-' && i + 2 < len && text[i + 1] == '\n' && i > 0 && islower((unsigned char)text[i - 1]) &&
                  islower((unsigned char)text[i + 2]);
    if (parted)
      i++;
    else if ((uint8_t)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t')
      buf_putc(scratch, text[i]);
  }
  if (scratch->len) extractor_put(extractor, BLOCK_TEXT, 0, buf_str(scratch), scratch->len);
}

static void put_page(struct extractor *extractor, struct buf *scratch, struct page page) {
  for (size_t at = 0; at < page.len && !extractor->failed;) {
    const char *end = memmem(page.text + at, page.len - at, "\n\n", 2);
    size_t to = end ? (size_t)(end - page.text) : page.len;
    put_paragraph(extractor, scratch, page.text + at, to - at);
    at = to + 1;
  }
}

static bool split_pages(const char *text, size_t len, struct arena *arena, struct pages *ret_pages) {
  size_t count = 0;
  for (size_t i = 0; i < len; i++) count += text[i] == '\f';
  struct page *items = arena_calloc(arena, count + 1, sizeof *items);
  if (!items) return false;
  count = 0;
  for (size_t at = 0; at < len;) {
    const char *end = memchr(text + at, '\f', len - at);
    size_t to = end ? (size_t)(end - text) : len;
    items[count++] = (struct page){text + at, to - at};
    at = to + 1;
  }
  *ret_pages = (struct pages){items, count};
  return true;
}

static enum status check_text(const struct pages *pages, struct error *err) {
  size_t letters = 0;
  if (!pages->count) return error_set_code(err, ERR_VALIDATION, "UNREADABLE", "the PDF is damaged: it has no pages");
  for (size_t i = 0; i < pages->count; i++)
    for (size_t at = 0; at < pages->items[i].len; at++) letters += !isspace((unsigned char)pages->items[i].text[at]);
  if (letters >= pages->count * SCANNED_BYTES) return OK;
  return error_set_code(err, ERR_VALIDATION, "NEEDS_OCR", "the PDF holds no text (%zu pages): it is scanned and needs OCR first",
                        pages->count);
}

static enum status read_pdf(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct pages pages = {0};
  BUF_AUTO output = {0}, scratch = {0};
  buf_init(&output, LIMIT_DOCUMENT_TEXT_BYTES);
  buf_init(&scratch, LIMIT_DOCUMENT_TEXT_BYTES);
  enum status status = run_pdftotext(bytes, len, &output, err);
  if (!status && !split_pages(buf_str(&output), output.len, extractor->arena, &pages)) status = error_oom(err);
  if (!status) status = check_text(&pages, err);
  for (size_t i = 0; !status && i < pages.count; i++) {
    extractor->page = (int)i + 1;
    put_page(extractor, &scratch, body_of(&pages, i));
  }
  return status;
}

const struct format format_pdf = {.content_type = "application/pdf", .is = is_pdf, .extensions = "pdf", .binary = true, .read = read_pdf};
