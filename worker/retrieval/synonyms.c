/* synonyms.c - see synonyms.h. Groups of words, stemmed when they are first asked for. To add one: a line here; words of one meaning in one
 * trade ("ward" and "station") belong in no group, since everybody's questions are read by it. */
#include "worker/retrieval/synonyms.h"

#include <stdio.h>
#include <string.h>

#include "worker/embed/lexicon.h"

#define STEM_BYTES 20
#define WORDS_MAX 1500
#define INNER_LEAST 3 /* letters that a prefix leaves; a stem may have lost its e */

static const char *const groups[] = {
    /* people */
    "customer client buyer shopper consumer purchaser", "employee staff worker personnel colleague", "doctor physician", "student pupil",
    "teacher instructor professor lecturer", "user account member", "manager boss supervisor head", "author writer", "guest visitor",
    "passenger traveller traveler", "tenant renter lessee", "landlord lessor", "driver chauffeur", "patient case",
    "candidate applicant application", "donor donation gift contribution", "owner holder", "agent broker representative",
    "contractor freelancer", "technician engineer mechanic", "artist painter sculptor", "musician band singer", "player athlete",
    "child kid", "person people individual", "subscriber customer", "reader borrower", "beneficiary payee recipient",
    "citizen resident inhabitant", "farmer grower", "lawyer attorney counsel", "nurse caregiver", "pilot captain crew", "referee umpire",
    "inspector auditor examiner", "partner affiliate", "volunteer helper", "victim casualty", "witness testimony", "parent guardian",
    /* firms and parts of them */
    "vendor supplier provider", "company organization organisation firm business enterprise corporation",
    "team department group division unit", "branch office outlet", "shop store", "factory plant mill", "warehouse depot storage",
    "school college university", "hospital clinic", "bank lender", "job position role occupation", "project initiative", "committee board",
    "farm ranch", "church parish", "museum gallery", "restaurant diner cafe", "hotel inn lodging", "airport airfield", "airline carrier",
    "harbor harbour port", "agency bureau",
    /* goods and money */
    "product item article good merchandise", "purchase order bought buy", "revenue sale turnover income proceeds",
    "price cost charge fee rate", "salary wage pay compensation payroll", "invoice bill", "refund reimbursement", "money amount sum",
    "discount coupon voucher promotion rebate", "stock inventory", "tax duty levy", "debt liability owed", "loan credit borrow lend lent",
    "payment paid payout settlement", "profit margin earnings", "budget allocation", "expense spending spend expenditure cost",
    "deposit prepayment", "tip gratuity", "fine penalty", "bonus incentive", "interest yield", "currency money", "share stock equity",
    "insurance policy coverage", "premium contribution", "claim damage loss", "gift present", "brand make manufacturer",
    "ingredient component part", "price tariff", "balance outstanding open unpaid", "commission fee", "donation grant",
    "pension retirement", "rent lease", "auction bid", "receipt voucher",
    /* things */
    "song track music", "movie film", "vehicle car truck lorry van automobile", "plane aircraft airplane jet", "ship vessel boat",
    "train railway rail", "bicycle bike", "bus coach", "house home household", "building property premises", "flat apartment",
    "room chamber", "machine equipment device apparatus", "drug medicine medication", "book title volume novel",
    "magazine journal periodical", "picture painting photo image artwork", "statue sculpture artwork", "phone telephone mobile",
    "mail email", "letter mail", "text message sms", "website site page", "computer pc laptop", "tool instrument",
    "luggage baggage suitcase bag", "seat place", "meal dish food", "drink beverage", "animal pet livestock", "plant crop", "tree forest",
    "clothes garment apparel", "furniture chair table", "tower mast antenna site", "cable wire line", "pipe pipeline", "pump valve",
    "engine motor", "battery cell", "meter gauge", "sensor probe reading", "camera video", "weapon gun", "key lock",
    "ticket admission entry", "card badge pass", "document file record", "photo picture", "map location", "game match fixture",
    /* what happens */
    "ship shipment delivery dispatch parcel deliver", "vacation holiday leave absence", "illness sick disease diagnosis condition",
    "begin start open launch", "end finish close complete", "expire end lapse", "rating review score",
    "fail defect error fault failure break", "down downtime outage interruption", "cancel void terminate", "shut close",
    "incident accident", "ticket issue", "visit appointment", "comment note remark", "subscription subscribe plan membership",
    "booking reservation book reserve", "delay late overdue", "repair fix maintenance service restore restoration",
    "build construct construction built", "hire recruit employ", "dismiss fire terminate", "birthday birth born", "age birth",
    "death died dead", "marriage wedding", "own belong possess", "test exam examination", "course class lesson", "grade mark score",
    "training course", "vote ballot election", "crime offence offense", "arrest detain", "trial hearing", "complaint grievance",
    "request inquiry enquiry", "answer reply response", "meeting appointment", "event occasion", "exhibition show exposition",
    "concert performance gig", "trip journey travel ride", "flight fly air", "route itinerary path", "departure depart leave",
    "arrival arrive", "stay accommodation", "call phone conversation", "message text",
    "produce production generate generation output manufacture", "consume consumption usage use", "measure measurement reading",
    "check inspection audit control", "clean cleaning housekeeping", "cook prepare", "order request", "transfer move", "promotion raise",
    "theft stolen steal", "fraud suspicious", "damage damaged condition", "loss lost missing", "win victory won", "lose defeat",
    "borrow loan", "lend loan", "rent rental hire", "sell sale sold", "assign assignment", "attend attendance present",
    "enrol enroll enrollment registration", "register registration sign", "graduate degree", "treat treatment therapy",
    "operate operation surgery", "vaccine vaccination immunization", "prescribe prescription", "admit admission", "discharge release",
    "infect infection", "return back", "replace replacement exchange", "renew renewal extend", "approve approval",
    "reject rejection refuse", "sign signature contract", "harvest yield crop", "feed feeding fodder",
    /* where and when */
    "city town municipality place", "nation country", "location place site", "street road address", "region area zone district territory",
    "state province", "floor storey level", "schedule timetable plan roster", "date day", "shift roster", "season period term",
    "duration length", "weight heavy kg", "height tall", "distance mileage km", "temperature heat cold", "weather climate",
    "speed fast velocity", "size dimension", "capacity space room seats", "color colour", "language tongue", "currency rate",
    "quantity number count amount", "percent share ratio", "due deadline", "electricity power energy kwh", "gas fuel", "water supply",
    "wind solar renewable", "oil petroleum", "category genre kind type class", "subject topic theme", "name title", "page view",
    "click tap", "skill qualification competence"};

struct word {
  uint32_t term;
  uint16_t group;
  char stem[STEM_BYTES];
};
static struct word words[WORDS_MAX];
static size_t word_count;

static bool read_groups(void) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  if (!lexicon) return false;
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    if (!lexicon_read(lexicon, groups[g], strlen(groups[g]), &list)) return false;
    for (size_t i = 0; i < list.count && word_count < WORDS_MAX; i++) {
      struct word *word = &words[word_count++];
      *word = (struct word){.term = list.words[i].lexeme->term, .group = (uint16_t)g};
      snprintf(word->stem, sizeof word->stem, "%s", list.words[i].lexeme->stem);
    }
  }
  return true;
}

static bool visit_group(const struct word *of, bool (*visit)(void *arg, const char *stem), void *arg) {
  for (size_t i = 0; i < word_count; i++)
    if (words[i].group == of->group && words[i].term != of->term && !visit(arg, words[i].stem)) return false;
  return true;
}

/* "overdue" speaks of what is due, "unpaid" of what is paid. */
static bool visit_inner(const char *stem, bool (*visit)(void *arg, const char *stem), void *arg) {
  static const char *const prefixes[] = {"over", "un", "non", "mis"};
  char inner[STEM_BYTES];
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    size_t len = strlen(prefixes[i]), left = strlen(stem) > len ? strlen(stem) - len : 0;
    if (strncmp(stem, prefixes[i], len) != 0 || left < INNER_LEAST - 1 || left + 2 > sizeof inner) continue;
    snprintf(inner, sizeof inner, "%s%s", stem + len, left < INNER_LEAST ? "e" : "");
    return visit(arg, inner);
  }
  return true;
}

bool synonyms_of(const char *stem, uint32_t term, bool (*visit)(void *arg, const char *stem), void *arg) {
  if (!word_count && !read_groups()) return true;
  if (!visit_inner(stem, visit, arg)) return false;
  for (size_t i = 0; i < word_count; i++)
    if (words[i].term == term && !visit_group(&words[i], visit, arg)) return false;
  return true;
}
