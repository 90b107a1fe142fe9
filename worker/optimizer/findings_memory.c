/* findings_memory.c - what does not fit into work_mem. */
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define WORK_MEM_KB 4096.0 /* unless the plan's settings say otherwise */
#define TEMP_BLOCKS 128    /* 1 MiB */
#define PERCENT_OF_DISK 0.5

static const char *wanted(const struct finding_view *view, double kb) { return arena_printf(view->arena, "%.0fMB", kb / 1024 + 1); }

bool look_sort_spill(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const json_t *full = json_object_get(node->fields, "Full-sort Groups"), *presorted = json_object_get(node->fields, "Pre-sorted Groups");
  double disk = node->sort_on_disk ? node->sort_space_kb : 0;
  disk += json_number_value(json_object_get(json_object_get(full, "Sort Space Disk"), "Peak Sort Space Used"));
  disk += json_number_value(json_object_get(json_object_get(presorted, "Sort Space Disk"), "Peak Sort Space Used"));
  if (disk <= 0) return false;
  finding_say(view, finding, "the sort wrote %s kB to disk: work_mem (%.0f kB) is too small for it", finding_number(view->arena, disk),
              finding_setting(view, "work_mem", WORK_MEM_KB));
  finding_advise(view, finding, "SET work_mem = '%s' for this query (sorting in memory takes more room than on disk), or sort less",
                 wanted(view, disk * 3));
  finding_stake(finding, node, PERCENT_OF_DISK);
  finding_shows(view, finding, json_pack("{s:f, s:s?}", "disk_kb", disk, "sort_method", node->sort_method));
  return true;
}

static double batch_kb(const struct plan_node *node) {
  return node->plan_width > 0 ? node->rows / (node->loops > 1 ? node->loops : 1) * (node->plan_width + 16) / 1024 : 0;
}

/* One value that most rows have can't be split: its batch is as large as it is, whatever the batches' number. */
bool look_hash_skew(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double memory = finding_setting(view, "work_mem", WORK_MEM_KB) * finding_setting(view, "hash_mem_multiplier", 2);
  if (!plan_is(node, "Hash") || node->hash_batches < 4 || node->peak_memory_kb < 2 * memory) return false;
  finding_say(view, finding, "one batch of the hash table takes %s kB, more than all of them may: most rows share a value",
              finding_number(view->arena, node->peak_memory_kb));
  finding_stake(finding, node, 0.5);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "batches", node->hash_batches, "peak_memory_kb", node->peak_memory_kb, "allowed_kb", memory));
  return true;
}

bool look_hash_batches(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!plan_is(node, "Hash") || node->hash_batches <= 1 || !node->parent) return false;
  bool grew = node->original_hash_batches > 0 && node->original_hash_batches < node->hash_batches;
  finding_say(view, finding, "the hash table did not fit into memory and was cut into %.0f batches%s", node->hash_batches,
              grew ? arena_printf(view->arena, ", %.0f were expected", node->original_hash_batches) : "");
  double kb = batch_kb(node) > node->peak_memory_kb ? batch_kb(node) : node->peak_memory_kb * node->hash_batches;
  finding_advise(view, finding, "SET work_mem = '%s' for this query, or raise hash_mem_multiplier%s",
                 wanted(view, kb / finding_setting(view, "hash_mem_multiplier", 2)), grew ? "; the estimate of its rows was too low" : "");
  finding_stake(finding, node->parent, PERCENT_OF_DISK);
  if (node->exclusive_ms >= 0) finding->time_at_stake_ms += node->exclusive_ms * PERCENT_OF_DISK;
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "batches", node->hash_batches, "original_batches", node->original_hash_batches,
                          "peak_memory_kb", node->peak_memory_kb));
  return true;
}

bool look_agg_spill(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  bool planned = !node->measured && node->planned_partitions > 0;
  if (!plan_is(node, "Aggregate") || (node->disk_kb <= 0 && node->hash_batches <= 1 && !planned)) return false;
  if (planned)
    finding_say(view, finding, "the aggregate is expected not to fit into memory: %.0f partitions are planned", node->planned_partitions);
  else
    finding_say(view, finding, "the hash aggregate wrote %s kB to disk, in %.0f batches", finding_number(view->arena, node->disk_kb),
                node->hash_batches);
  finding_advise(view, finding, "SET work_mem = '%s' for this query, or raise hash_mem_multiplier",
                 wanted(view, (node->disk_kb + node->peak_memory_kb) / finding_setting(view, "hash_mem_multiplier", 2)));
  finding_stake(finding, node, PERCENT_OF_DISK);
  finding_shows(
      view, finding,
      json_pack("{s:f, s:f, s:f}", "disk_kb", node->disk_kb, "batches", node->hash_batches, "peak_memory_kb", node->peak_memory_kb));
  return true;
}

/* Of a hash join the table itself spills; of it speaks hash-batches. */
bool look_temp_io(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double blocks = node->own.temp_read + node->own.temp_written;
  if (blocks < TEMP_BLOCKS) return false;
  if (plan_is(node, "Hash Join") || plan_is(node, "Sort") || plan_is(node, "Incremental Sort") || plan_is(node, "Aggregate") ||
      plan_is(node, "Hash"))
    return false;
  finding_say(view, finding, "%s wrote and read %s blocks of temporary files", plan_name(view->plan, node),
              finding_number(view->arena, blocks));
  finding_advise(view, finding, "SET work_mem = '%s' for this query, or keep fewer rows and columns",
                 wanted(view, node->own.temp_written * 8));
  finding_stake(finding, node, PERCENT_OF_DISK);
  finding_shows(view, finding,
                json_pack("{s:f, s:f}", "temp_blocks_read", node->own.temp_read, "temp_blocks_written", node->own.temp_written));
  return true;
}
