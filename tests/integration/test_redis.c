/* The bell against a real server: replies, refusals while it is away, coming back, subscriptions; and servers that aren't ready. */
#include "tests/support/harness.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <signal.h>

#include "common/limits.h"
#include "common/redis.h"

static struct harness *h;
static struct harness_proc *server;
static struct event_base *base;
static int ups, downs;

struct tally {
  int answered, missed, errors;
  long long integer;
  char text[256];
};

static void on_state(void *arg, bool up) {
  (void)arg;
  if (up)
    ups++;
  else
    downs++;
}

static void count(void *arg, const redisReply *reply) {
  struct tally *tally = arg;
  if (!reply) {
    tally->missed++;
    return;
  }
  tally->answered++;
  tally->errors += reply->type == REDIS_REPLY_ERROR;
  if (reply->type == REDIS_REPLY_INTEGER) tally->integer = reply->integer;
  if (reply->str) snprintf(tally->text, sizeof tally->text, "%.*s", (int)reply->len, reply->str);
}

/* One round of the loop, of 20 ms at most. */
static void turn(void) {
  event_base_loopexit(base, &(struct timeval){.tv_usec = 20000});
  event_base_loop(base, EVLOOP_ONCE);
}

#define LOOP_UNTIL(condition, timeout_ms)                                                         \
  do {                                                                                            \
    int64_t loop_end = harness_now_ms() + (timeout_ms);                                           \
    while (!(condition)) {                                                                        \
      if (harness_now_ms() > loop_end) fail_msg("after %d ms not: %s", (timeout_ms), #condition); \
      turn();                                                                                     \
    }                                                                                             \
  } while (0)

static struct redis *open_url(const char *url) {
  struct redis *redis = NULL;
  ERROR_AUTO err = {0};
  ups = downs = 0;
  if (redis_new(base, url, on_state, NULL, &redis, &err)) fail_msg("%s", err.message);
  return redis;
}

static struct redis *open_live(void) {
  struct redis *redis = open_url(h->redis_url);
  LOOP_UNTIL(redis_up(redis), 10000);
  return redis;
}

static int server_port(void) { return (int)strtol(strrchr(h->redis_url, ':') + 1, NULL, 10); }

static int setup(void **state) {
  h = harness_new();
  server = harness_valkey(h);
  base = event_base_new();
  *state = h;
  return 0;
}

static int teardown(void **state) {
  event_base_free(base);
  return harness_teardown(state);
}

static void many_commands_each_answered_once(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0}, last = {0};
  redis_cmd(redis, NULL, NULL, "DEL", "n", NULL);
  for (int i = 0; i < 20000; i++) redis_cmd(redis, count, i < 19999 ? &tally : &last, "INCR", "n", NULL);
  LOOP_UNTIL(last.answered, 10000);
  assert_int_equal(tally.answered, 19999);
  assert_int_equal(last.integer, 20000);
  assert_int_equal(ups, 1);
  redis_free(redis);
  assert_int_equal(downs, 0);
}

static void bytes_go_as_they_are(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0};
  redis_command(redis, NULL, NULL, 3, (const char *const[]){"SET", "k", "a\0b\r\n%s"}, (const size_t[]){3, 1, 7});
  redis_cmd(redis, count, &tally, "STRLEN", "k", NULL);
  LOOP_UNTIL(tally.answered, 10000);
  assert_int_equal(tally.integer, 7);
  redis_free(redis);
}

static void error_replies_are_replies(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0}, after = {0};
  redis_cmd(redis, count, &tally, "NOSUCHCOMMAND", NULL);
  redis_cmd(redis, count, &after, "ECHO", "still here", NULL);
  LOOP_UNTIL(after.answered, 10000);
  assert_int_equal(tally.errors, 1);
  assert_string_equal(after.text, "still here");
  assert_int_equal(downs, 0);
  redis_free(redis);
}

static void the_database_of_the_url_is_selected(void **state) {
  (void)state;
  char url[HARNESS_URL];
  snprintf(url, sizeof url, "redis://default:" HARNESS_PASSWORD "@127.0.0.1:%d/3", server_port());
  struct redis *third = open_url(url), *first = open_live();
  struct tally tally = {.integer = -1};
  LOOP_UNTIL(redis_up(third), 10000);
  redis_cmd(third, count, &tally, "SET", "only-in-3", "x", NULL);
  LOOP_UNTIL(tally.answered == 1, 10000);
  redis_cmd(first, count, &tally, "EXISTS", "only-in-3", NULL);
  LOOP_UNTIL(tally.answered == 2, 10000);
  assert_int_equal(tally.integer, 0);
  redis_free(first);
  redis_free(third);
}

static void a_command_before_it_is_up_is_refused_from_the_loop(void **state) {
  (void)state;
  struct redis *redis = open_url(h->redis_url);
  struct tally tally = {0};
  redis_cmd(redis, count, &tally, "PING", NULL);
  assert_int_equal(tally.missed, 0); /* not inline */
  LOOP_UNTIL(tally.missed == 1, 1000);
  LOOP_UNTIL(redis_up(redis), 10000);
  redis_free(redis);
}

static void a_killed_server_answers_each_once_and_comes_back(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0};
  enum { SENT = 5000, REFUSED = 100 };
  harness_signal(server, SIGSTOP);
  for (int i = 0; i < SENT; i++) redis_cmd(redis, count, &tally, "INCR", "m", NULL);
  turn();
  harness_kill(server);
  LOOP_UNTIL(tally.answered + tally.missed == SENT, 10000);
  LOOP_UNTIL(!redis_up(redis), 1000);
  assert_int_equal(downs, 1);
  assert_true(*redis_why(redis) != '\0');
  int before = tally.missed;
  for (int i = 0; i < REFUSED; i++) redis_cmd(redis, count, &tally, "INCR", "m", NULL);
  assert_int_equal(tally.missed, before);
  LOOP_UNTIL(tally.missed == before + REFUSED, 1000);
  harness_restart(h, server);
  LOOP_UNTIL(redis_up(redis), 10000);
  assert_int_equal(ups, 2);
  struct tally after = {0};
  redis_cmd(redis, count, &after, "PING", NULL);
  LOOP_UNTIL(after.answered, 10000);
  assert_int_equal(tally.answered + tally.missed, SENT + REFUSED);
  redis_free(redis);
}

static void a_closed_connection_is_made_anew(void **state) {
  (void)state;
  struct redis *redis = open_live(), *other = open_live();
  redis_cmd(other, NULL, NULL, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", NULL);
  LOOP_UNTIL(!redis_up(redis), 10000);
  LOOP_UNTIL(redis_up(redis), 10000);
  redis_free(redis);
  redis_free(other);
}

static void a_frozen_server_is_given_up(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0};
  harness_signal(server, SIGSTOP);
  redis_cmd(redis, count, &tally, "PING", NULL);
  LOOP_UNTIL(tally.missed == 1, LIMIT_REDIS_REPLY_MS + 5000);
  harness_signal(server, SIGCONT);
  assert_non_null(strstr(redis_why(redis), "in time"));
  LOOP_UNTIL(redis_up(redis), 10000);
  redis_free(redis);
}

static void a_block_shorter_than_the_limit_waits(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0};
  redis_cmd(redis, count, &tally, "BLPOP", "nothing-here", "0.3", NULL);
  LOOP_UNTIL(tally.answered == 1, 5000);
  assert_int_equal(downs, 0);
  redis_free(redis);
}

static void freeing_answers_what_is_outstanding(void **state) {
  (void)state;
  struct redis *redis = open_live();
  struct tally tally = {0};
  redis_cmd(redis, count, &tally, "BLPOP", "nothing-here", "5", NULL);
  redis_cmd(redis, count, &tally, "PING", NULL);
  turn();
  redis_free(redis);
  assert_int_equal(tally.missed, 2);
  redis = open_url(h->redis_url); /* while connecting, too */
  redis_cmd(redis, count, &tally, "PING", NULL);
  redis_free(redis);
  assert_int_equal(tally.missed, 3);
  redis_free(NULL);
}

static void without_or_with_a_wrong_password_it_is_not_up(void **state) {
  (void)state;
  static const struct {
    const char *userinfo, *why;
  } rows[] = {{"", "NOAUTH"}, {":wrongsecret@", "WRONGPASS"}, {"nobody:wrongsecret@", "WRONGPASS"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char url[HARNESS_URL];
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", rows[i].userinfo, server_port());
    struct redis *redis = open_url(url);
    LOOP_UNTIL(*redis_why(redis), 10000);
    assert_non_null(strstr(redis_why(redis), rows[i].why));
    assert_null(strstr(redis_why(redis), "wrongsecret"));
    assert_false(redis_up(redis));
    assert_int_equal(ups, 0);
    redis_free(redis);
  }
}

static void bad_urls_are_refused_without_being_shown(void **state) {
  (void)state;
  static const struct {
    const char *url, *part;
  } rows[] = {{"", "scheme"},
              {"localhost:6379", "scheme"},
              {"http://:s3cr3t@h", "scheme"},
              {"rediss://:s3cr3t@h:6379", "TLS"},
              {"redis://:s3cr3t@", "no host"},
              {"redis://:s3cr3t@h:0", "port"},
              {"redis://:s3cr3t@h:99999", "port"},
              {"redis://:s3cr3t@h/db", "not a number"},
              {"redis://:s3cr3t@h/1/2", "not a number"},
              {"redis://s3cr3t@h", "without a password"},
              {"redis://:s3cr3t@h?x=1", "parameters"},
              {"redis://:s3cr3t%00x@h", "malformed"},
              {"redis://:s3 cr3t@h", "malformed"},
              {"unix://tmp/x", "three slashes"},
              {"unix://", "no socket"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct redis *redis = NULL;
    ERROR_AUTO err = {0};
    if (!redis_new(base, rows[i].url, NULL, NULL, &redis, &err)) fail_msg("taken: %s", rows[i].url);
    if (!strstr(err.message, rows[i].part)) fail_msg("%s: wanted \"%s\" in \"%s\"", rows[i].url, rows[i].part, err.message);
    assert_null(strstr(err.message, "s3cr3t"));
    assert_null(redis);
  }
}

/* --- subscriptions --- */

struct heard {
  int count;
  char channel[64], message[64];
};

static void on_message(void *arg, const char *channel, const char *message, size_t len) {
  struct heard *heard = arg;
  heard->count++;
  snprintf(heard->channel, sizeof heard->channel, "%s", channel);
  snprintf(heard->message, sizeof heard->message, "%.*s", (int)len, message);
}

static struct heard heard;
static void on_sub_state(void *arg, bool up) {
  assert_ptr_equal(arg, &heard);
  on_state(NULL, up);
}

static void subscriptions_survive_the_server(void **state) {
  (void)state;
  struct redis_sub *sub = NULL;
  ERROR_AUTO err = {0};
  struct redis *redis = open_live();
  memset(&heard, 0, sizeof heard);
  ups = downs = 0;
  assert_int_equal(
      redis_subscribe(base, h->redis_url, (const char *const[]){"{a}:done", "{a}:cancel"}, 2, on_message, on_sub_state, &heard, &sub, &err),
      OK);
  LOOP_UNTIL(ups == 1, 10000);
  redis_cmd(redis, NULL, NULL, "PUBLISH", "{a}:done", "one", NULL);
  redis_cmd(redis, NULL, NULL, "PUBLISH", "{b}:done", "not ours", NULL);
  redis_cmd(redis, NULL, NULL, "PUBLISH", "{a}:cancel", "two", NULL);
  LOOP_UNTIL(heard.count == 2, 10000);
  assert_string_equal(heard.channel, "{a}:cancel");
  assert_string_equal(heard.message, "two");
  harness_kill(server);
  LOOP_UNTIL(downs == 2, 10000); /* both connections */
  harness_restart(h, server);
  LOOP_UNTIL(ups == 3, 10000);
  LOOP_UNTIL(redis_up(redis), 10000);
  redis_cmd(redis, NULL, NULL, "PUBLISH", "{a}:done", "three", NULL);
  LOOP_UNTIL(heard.count == 3, 10000);
  assert_string_equal(heard.message, "three");
  redis_sub_free(sub);
  redis_free(redis);
  redis_sub_free(NULL);
}

static void a_burst_of_messages_arrives_whole(void **state) {
  (void)state;
  struct redis_sub *sub = NULL;
  ERROR_AUTO err = {0};
  memset(&heard, 0, sizeof heard);
  ups = 0;
  assert_int_equal(redis_subscribe(base, h->redis_url, (const char *const[]){"burst"}, 1, on_message, on_sub_state, &heard, &sub, &err),
                   OK);
  LOOP_UNTIL(ups == 1, 10000);
  struct redis *redis = open_live();
  for (int i = 0; i < 10000; i++) redis_cmd(redis, NULL, NULL, "PUBLISH", "burst", "x", NULL);
  LOOP_UNTIL(heard.count == 10000, 10000);
  redis_sub_free(sub);
  redis_free(redis);
}

/* --- a server that is not ready yet --- */

/* Answers PING with -LOADING as often as told, then with +PONG; or never answers. */
struct pretender {
  struct evconnlistener *listener;
  int loading, connections;
  bool mute;
  struct bufferevent *open[16];
};

static void on_request(struct bufferevent *bev, void *arg) {
  struct pretender *pretender = arg;
  struct evbuffer *input = bufferevent_get_input(bev);
  evbuffer_drain(input, evbuffer_get_length(input));
  if (pretender->mute) return;
  const char *answer = pretender->loading-- > 0 ? "-LOADING server is loading the dataset in memory\r\n" : "+PONG\r\n";
  bufferevent_write(bev, answer, strlen(answer));
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg) {
  (void)listener;
  (void)address;
  (void)len;
  struct pretender *pretender = arg;
  struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
  assert_true(pretender->connections < 16);
  pretender->open[pretender->connections++] = bev;
  bufferevent_setcb(bev, on_request, NULL, NULL, pretender);
  bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static struct redis *open_pretender(struct pretender *pretender) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  pretender->listener =
      evconnlistener_new_bind(base, on_accept, pretender, LEV_OPT_CLOSE_ON_FREE, -1, (struct sockaddr *)&address, (int)sizeof address);
  assert_int_equal(getsockname(evconnlistener_get_fd(pretender->listener), (struct sockaddr *)&address, &len), 0);
  char url[64];
  snprintf(url, sizeof url, "redis://127.0.0.1:%d", ntohs(address.sin_port));
  return open_url(url);
}

static void close_pretender(struct pretender *pretender) {
  evconnlistener_free(pretender->listener);
  for (int i = 0; i < pretender->connections; i++) bufferevent_free(pretender->open[i]);
}

static void a_loading_server_is_not_up_until_it_has_loaded(void **state) {
  (void)state;
  struct pretender pretender = {.loading = 3};
  struct redis *redis = open_pretender(&pretender);
  LOOP_UNTIL(*redis_why(redis), 10000);
  assert_non_null(strstr(redis_why(redis), "LOADING"));
  assert_false(redis_up(redis));
  LOOP_UNTIL(redis_up(redis), 10000);
  assert_int_equal(ups, 1);
  assert_int_equal(downs, 0);
  assert_int_equal(pretender.connections, 4);
  redis_free(redis);
  close_pretender(&pretender);
}

static void a_server_that_never_answers_is_given_up(void **state) {
  (void)state;
  struct pretender pretender = {.mute = true};
  struct redis *redis = open_pretender(&pretender);
  LOOP_UNTIL(*redis_why(redis), LIMIT_REDIS_CONNECT_MS + 5000);
  assert_non_null(strstr(redis_why(redis), "in time"));
  pretender.mute = false;
  LOOP_UNTIL(redis_up(redis), 10000);
  redis_free(redis);
  close_pretender(&pretender);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_commands_each_answered_once),
      cmocka_unit_test(bytes_go_as_they_are),
      cmocka_unit_test(error_replies_are_replies),
      cmocka_unit_test(the_database_of_the_url_is_selected),
      cmocka_unit_test(a_command_before_it_is_up_is_refused_from_the_loop),
      cmocka_unit_test(a_killed_server_answers_each_once_and_comes_back),
      cmocka_unit_test(a_closed_connection_is_made_anew),
      cmocka_unit_test(a_frozen_server_is_given_up),
      cmocka_unit_test(a_block_shorter_than_the_limit_waits),
      cmocka_unit_test(freeing_answers_what_is_outstanding),
      cmocka_unit_test(without_or_with_a_wrong_password_it_is_not_up),
      cmocka_unit_test(bad_urls_are_refused_without_being_shown),
      cmocka_unit_test(subscriptions_survive_the_server),
      cmocka_unit_test(a_burst_of_messages_arrives_whole),
      cmocka_unit_test(a_loading_server_is_not_up_until_it_has_loaded),
      cmocka_unit_test(a_server_that_never_answers_is_given_up),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
