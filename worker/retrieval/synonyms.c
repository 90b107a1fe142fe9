/* synonyms.c - see synonyms.h. Groups of words, stemmed when they are first asked for. To add one: a line here; words of one meaning in one
 * trade ("ward" and "station") belong in no group, since everybody's questions are read by it. */
#include "worker/retrieval/synonyms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/embed/lexicon.h"
#include "worker/retrieval/wording.h"

#define WORD_BYTES 20
#define WORDS_MAX 4000
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
    "customer client buyer shopper consumer purchaser account", "employee staff worker personnel workforce", "coach trainer instructor",
    "expert specialist consultant adviser advisor", "researcher scientist investigator", "handyman tradesman craftsman contractor",
    "intern trainee apprentice", "sponsor backer", "spouse wife husband", "child son daughter dependent",
    "relative family dependent household", "heir beneficiary", "cashier teller clerk", "dealer merchant retailer reseller",
    "salesperson representative rep seller salesman", "leader head chief lead director", "attendee participant delegate",
    "competitor rival opponent", "offender suspect criminal perpetrator", "prisoner inmate detainee", "officer police policeman",
    "judge magistrate", "voter elector", "fan follower", "requester requestor", "surgeon physician doctor", "clinician physician doctor",
    "practitioner physician provider", "sailor crew seaman", "chef cook", "waiter server", "cleaner janitor attendant", "pensioner retiree",
    "member membership", "prospect lead", "lead opportunity deal", "signatory party", "party side opponent", "caretaker keeper",
    "keeper owner", "landlord owner lessor", "holder owner bearer", "foreigner immigrant migrant", "developer programmer engineer",
    "electrician plumber tradesman contractor", "teacher staff", "nurse staff", "who person name", "alumnus alumni graduate",
    "tutor mentor", "recipient addressee receiver", "sender author", "speaker presenter", "friend follower contact",
    "performer artist musician singer band", "headcount employee", "celebrity star artist", "physiotherapist therapist",
    "counselor therapist adviser", "pupil student child", "classmate student", "minor child", "adult person", "dependant dependent family",
    "widow spouse", "employer company", "courier carrier driver", "dispatcher operator", "inventor author", "photographer artist",
    "proprietor owner", "shareholder investor owner", "policyholder policy customer insured", "accountholder account customer",
    "salespeople salesperson seller representative agent", "kin relative contact", "sickness illness absence",
    "maternity parental leave absence", "payslip payroll salary", "paycheck payroll salary", "folk people", "elderly age",
    "carer caregiver", "deputy substitute replacement", "substitute replacement", "survivor survival", "assist assistance help support",
    /* firms and parts of them */
    "vendor supplier provider", "company organization organisation firm business enterprise corporation",
    "team department group division unit", "branch office outlet", "shop store", "factory plant mill", "warehouse depot storage",
    "school college university", "hospital clinic", "bank lender", "job position role occupation", "project initiative", "committee board",
    "farm ranch", "church parish", "museum gallery", "restaurant diner cafe", "hotel inn lodging", "airport airfield", "airline carrier",
    "harbor harbour port", "agency bureau", "company account client", "manufacturer maker producer", "subcontractor contractor",
    "site facility location plant", "headquarters office", "department ward unit", "department faculty school", "warehouse store",
    "country state", "league division", "club society association", "insurer carrier underwriter", "court tribunal",
    "ministry authority government", "charity foundation nonprofit", "port terminal dock", "dock pier berth", "garage workshop",
    "workshop shop repair", "station stop", "laboratory lab", "library archive", "room ward theatre chamber", "theatre theater",
    "stadium arena venue", "venue hall location", "kennel cage boarding", "field plot parcel land", "land parcel property estate",
    "property building house", "apartment unit flat", "line production", "cell station", "headquartered city location",
    "based location city", "employer company organization", "subsidiary company", "holding company", "publisher press", "studio room",
    "studio company", "gym club fitness", "spa hotel", "pharmacy store drug", "supermarket store shop", "grocery store", "kiosk store",
    "franchise branch store", "chain group", "desk office", "center centre site facility", "union association", "council committee board",
    "parliament assembly", "precinct district", "borough district city", "village town city", "suburb district city",
    "continent region country", "province state region", "wing building section", "aisle shelf bin", "shelf rack bin", "bin shelf slot",
    "slot time place", "gate door entrance", "parking lot space", "procurement purchase supplier", "sourcing supplier purchase",
    "rota roster shift schedule", "duty shift roster",
    /* goods and money */
    "product item article good merchandise", "purchase order bought buy", "revenue sale turnover income proceeds",
    "price cost charge fee rate", "salary wage pay compensation payroll", "invoice bill", "refund reimbursement", "money amount sum",
    "discount coupon voucher promotion rebate", "stock inventory", "tax duty levy", "debt liability owed", "loan credit borrow lend lent",
    "payment paid payout settlement", "profit margin earnings", "budget allocation", "expense spending spend expenditure cost",
    "deposit prepayment", "tip gratuity", "fine penalty", "bonus incentive", "interest yield", "currency money", "share stock equity",
    "insurance policy coverage", "premium contribution", "claim damage loss", "gift present", "brand make manufacturer",
    "ingredient component part", "price tariff", "balance outstanding open unpaid", "commission fee", "donation grant",
    "pension retirement", "rent lease", "auction bid", "receipt voucher", "product item article good material", "part component item spare",
    "raw material ingredient", "revenue amount total price charge", "sale order purchase", "sale deal", "spend purchase order",
    "cost price amount expense", "raise increase salary", "invoice bill billing", "refund return", "chargeback dispute",
    "dispute complaint contest", "collateral security pledge", "security bond", "deposit saving", "savings deposit", "withdraw withdrawal",
    "transaction posting movement payment", "movement transaction posting transfer", "recurring standing subscription", "instruction order",
    "debt receivable outstanding", "owe payable due balance", "payable owed supplier", "receivable owed customer",
    "unpaid outstanding overdue open due", "overdue due arrears late", "arrears overdue debt", "collect payment receipt receive",
    "collect receive received", "income rent", "rent charge", "budget plan", "forecast projection estimate", "estimate quote quotation",
    "offer quote proposal bid", "bid tender proposal", "discount rebate reduction", "voucher promo promotion coupon code", "gift voucher",
    "tax vat", "subsidy grant", "fund funding", "asset equipment property", "asset investment", "depreciation value",
    "value worth appraisal price", "assess appraisal assessment valuation", "market value", "profit income margin", "credit limit",
    "lend lending loan", "mortgage loan", "installment instalment repayment", "repay repayment installment",
    "currency exchange rate foreign", "cheque check", "cash money", "wire transfer remittance", "deduct deduction",
    "benefit perk allowance", "allowance stipend", "overtime extra hour", "quota target goal", "target goal objective",
    "stock level inventory quantity", "reorder replenish restock", "restock inventory order", "replenishment order", "shortage stock",
    "basket cart", "cart basket order", "checkout order purchase", "wish wishlist", "bestseller sale", "price list tariff rate",
    "material bom component", "recipe ingredient formula", "batch lot", "lot parcel", "serial number", "pallet container crate",
    "container box", "package parcel", "packaging package", "freight cargo shipment load", "sales order invoice", "income payment",
    "earn commission salary pay", "earnings salary pay income", "churn cancel cancellation", "attrition termination",
    "stocktake inventory count", "out stock", "supply supplier delivery", "surcharge fee extra", "extra option addition",
    "addon extra option feature", "upgrade plan", "downgrade plan", "tariff rate plan price", "net amount total", "gross amount total",
    "subtotal amount total", "sum total amount", "bill tab check", "royalty fee payment", "toll fee", "fare price ticket",
    "freight cost shipping", "shipping shipment delivery freight", "postage shipping", "handling fee", "penalty fine fee",
    "compensation payment settlement", "settle settlement payment", "settled paid settlement", "reserve provision", "deductible excess",
    "sum insured coverage", "insured insurance policy", "insure insurance policy", "cover coverage", "covered coverage",
    "bankrupt insolvency", "invest portfolio", "portfolio holding", "dividend payout", "stock share security", "quote price",
    "payout payment settlement", "actual ledger posting booked", "ledger journal posting", "writeoff loss scrap", "reminder dunning notice",
    "dunning reminder notice", "remind reminder notification", "accrue accrual", "earned accrual", "reward loyalty bonus point",
    "loyalty reward point", "redeem redemption", "requisition request purchase", "adjustment correction", "reversal cancellation",
    "cheaper price downgrade", "warranty guarantee", "shortfall target", "reimburse reimbursement refund expense",
    "exceed limit excess threshold", "surplus excess stock", "demand order request forecast", "deficit loss",
    "proportion share ratio percent", "fraction share ratio", "waive waiver exemption", "exempt exemption waiver", "cap limit maximum",
    "overrun budget excess",
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
    "truck lorry vehicle tractor", "trailer truck", "vehicle fleet", "laptop computer device asset", "phone device mobile handset",
    "device equipment hardware", "hardware asset device", "software application app program", "server host machine", "printer device",
    "network connection", "scan image imaging", "imaging radiology scan", "xray radiology imaging", "mri imaging scan",
    "document paper file", "paper document article", "report document", "form document questionnaire", "contract agreement",
    "agreement contract lease", "policy rule", "rule regulation", "law legal regulation", "case matter lawsuit", "lawsuit case matter suit",
    "book publication", "article post publication", "post article message", "blog post article", "newsletter email mailing campaign",
    "mailing email letter send", "message note conversation chat", "note remark comment memo", "topic subject tag hashtag",
    "tag label keyword", "advert ad advertisement listing", "advertisement ad campaign", "ad campaign advertising", "banner ad impression",
    "listing offer advertisement", "survey questionnaire poll feedback", "feedback rating review comment survey",
    "satisfaction rating score survey", "satisfied satisfaction rating", "star rating", "knowledge article base", "manual guide article",
    "help support article", "help ticket support", "dog pet animal", "cat pet animal", "horse animal", "cow cattle livestock animal",
    "sheep livestock animal", "breed species", "species kind breed animal", "drug remedy medicine medication",
    "medicine drug remedy medication pharmaceutical", "pill tablet medication", "dose dosage", "injection shot vaccine vaccination",
    "vaccine shot immunization", "blood sample", "sample specimen", "test result lab", "test lab analysis", "result outcome",
    "finding result observation", "symptom complaint", "side adverse", "effect event reaction", "allergy reaction",
    "surgery operation procedure", "treatment procedure care", "bed ward", "stay admission encounter", "hospitalization admission stay",
    "hospitalize admit admission", "machine machinery tool", "crane equipment machine", "press machine", "robot machine", "vehicle unit",
    "food menu dish", "menu dish meal", "wine drink", "fuel gas petrol gasoline diesel", "energy consumption power", "electricity meter",
    "pollution emission", "emission pollution co2", "waste garbage trash", "garbage waste trash refuse", "sewage water",
    "road street highway", "bridge structure", "tree plant", "garden park", "field crop", "seed crop", "fertilizer chemical",
    "song playlist", "album record", "channel station", "show program programme series", "series show season", "episode show",
    "episode series", "concert show event performance", "gig show concert", "festival event", "ticket seat", "game score",
    "team club squad", "squad team roster", "tournament competition championship", "competition tournament contest event", "goal score",
    "expression gene", "vehicle asset", "gadget device", "tablet device", "screen display monitor", "cartridge supply", "supplies material",
    "consumable material supply", "chemical substance", "substance ingredient chemical", "fabric material textile", "steel material metal",
    "wood timber material", "concrete material", "brick material", "toy product", "game title", "shoe product", "dress clothes",
    "uniform clothes", "jewelry product", "vegetable crop produce", "fruit crop produce", "produce crop fruit vegetable", "grain crop",
    "milk dairy", "meat food", "bread food", "coffee drink", "beer drink", "allergen allergy ingredient", "peanut allergen ingredient",
    "vegetarian diet", "genre category style", "jazz genre", "rock genre", "playlist track", "podcast episode", "chapter section",
    "page document", "paragraph text", "font style", "logo image", "brochure document", "certificate document",
    "passport document identity", "visa document permit", "barcode code", "qr code", "password credential login", "token key",
    "license key", "app application integration plugin", "integration connection connector app", "bundle package combination",
    "gigabyte data usage volume", "megabyte data usage volume", "timesheet time hour", "log entry", "pipeline opportunity deal stage",
    "belongings item property", "paperwork document form", "identity identification document", "identify identification identity",
    "attachment file document", "leaflet brochure document", "gear equipment", "kit equipment set", "appliance device equipment",
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
    "reject rejection refuse", "sign signature contract", "harvest yield crop", "feed feeding fodder", "sell sale order",
    "sell seat available", "receive receipt delivery", "arrive stop", "delay delayed late behind", "behind late overdue due",
    "schedule planned calendar", "schedule appointment", "plan planned schedule", "planned scheduled", "expire expiry expiration valid",
    "expiry expiration valid end", "valid expiry until", "extend extension", "cancel cancellation", "cancelled cancellation terminated",
    "leave quit terminate termination resign", "terminate termination end", "fire termination", "hire hired employ start",
    "join joined member", "join enroll register", "sign signup register created", "signup registration created", "login log session seen",
    "visit view", "view impression", "visit checkin", "click impression", "open opened", "close closed", "closed end",
    "finish complete done", "complete completed finish", "done completed finished closed", "resolve solve close", "solve resolve solved",
    "unresolved open", "fix repair correct", "fixed repaired corrected resolved", "repair maintenance service fix work",
    "maintain maintenance", "broken failure defect", "breach violation", "violate violation breach",
    "violation offence breach infringement", "offence violation crime fine", "speeding traffic offence", "damage damaged defect",
    "scratch damage", "accident incident injury", "hurt injury injured", "hazard risk", "risk rating", "danger risk hazard", "safe safety",
    "secure security", "fraud suspicious alert", "alert alarm warning", "complain complaint", "complaint issue report",
    "escalate escalation", "problem issue trouble incident", "issue problem ticket incident", "bug issue defect", "change modification",
    "modify change", "update change", "approve approval approved", "authorize authorization approval", "authorise authorization approval",
    "decline reject declined refuse", "reject decline denied", "deny denied rejection refuse", "denied rejected refused",
    "grant approved award", "award prize grant", "win award", "nominate nomination", "apply application", "apply applicant",
    "application request", "ask request", "permit permission license", "license licence permit", "certificate certification license",
    "certify certification certified", "qualify qualification", "inspect inspection", "inspection audit check visit",
    "check inspection verification", "verify verification check", "audit review", "review evaluation assessment appraisal",
    "evaluate evaluation", "assess assessment evaluation", "rate rating", "grade mark result", "pass passed result", "fail failed",
    "teach teacher course instructor", "teach class lecture", "lecture course class", "study student course program",
    "study trial research", "research study project", "learn course training", "train training", "attend attendance attendee",
    "attended attendance", "absent absence", "sick absence leave illness", "work job", "work shift", "work hours time",
    "time duration minutes", "worked hours time", "assign assignment assigned", "responsible assigned owner", "handle assigned responsible",
    "manage manager", "supervise supervisor", "represent representative", "drive driver", "drive trip", "driver vehicle", "pick pickup",
    "drop dropoff", "pickup collect", "return returned", "bring return", "rent rental lease tenant", "lease rental tenancy contract",
    "tenant renter lease", "evict eviction", "move relocation", "relocate move", "live address resident", "reside address residence",
    "die death", "marry marriage", "divorce marriage", "vote voting", "elect election", "protest demonstration", "speak speaker",
    "call caller", "call contact", "contact phone email address", "send sent", "send message", "write author written",
    "publish publication published", "publish publisher", "read view reader", "read reading", "watch view viewing", "watched view",
    "listen play stream", "listen listening play", "play game", "download install", "install installation", "upload file", "share post",
    "like likes", "like reaction", "popular like view rating", "trend popular", "follow follower", "block blocked", "invite invitation",
    "donate donation", "give gift donation", "pledge promise", "raise fundraising donation", "collect collection", "save saving",
    "invest investment", "trade transaction", "exchange trade", "move movement", "withdrawn withdrawal", "enroll enrollment enrolment",
    "participate participant", "recruit recruitment", "recruit candidate", "interview candidate", "promote promotion", "lay layoff",
    "cause reason", "why reason", "because reason cause", "purpose reason", "consist component", "contain component ingredient",
    "include included", "made material component", "make manufacture", "build building construct", "assemble assembly", "test testing",
    "weigh weight", "record log", "scrap waste reject", "plant planting", "water irrigation", "irrigate irrigation", "breed breeding",
    "vaccinate vaccination vaccine", "diagnose diagnosis", "discharge discharged", "refer referral", "consult consultation",
    "consultation visit appointment encounter", "examine examination", "see visit appointment consultation", "seen visit consultation",
    "notify notification alert", "notice notification reminder", "leave churn cancel cancellation", "roaming abroad foreign",
    "abroad roaming", "connect integration", "recall withdrawal return", "breakdown failure fault", "malfunction failure fault defect",
    "stoppage downtime interruption", "backlog open pending", "pending open waiting", "signoff approval", "mistake error",
    "wrong error fault", "happy satisfaction rating", "unhappy complaint satisfaction", "opinion feedback survey rating",
    "compliment feedback", "recommend referral", "referral refer source", "unsubscribe consent subscription", "noshow absent absence",
    "history log change", "trace tracking", "retire retirement pension", "selling sale sold", "bestselling sale sold",
    "onboarding hire start", "procure procurement purchase", "compliance audit regulation", "talk conversation call meeting",
    "handover transfer", "decide decision", "describe description", "explain explanation", "respond response", "resolution resolve",
    "conclude conclusion", "submit submission", "expand expansion", "analyze analysis", "retain retention", "acquire acquisition",
    "recover recovery", "deliver delivery", "enter entry entrance", "administer administration", "reduce reduction",
    "destroy destruction disposal", "dispose disposal", "remove removal", "receive reception", "proceed procedure", "specify specification",
    "vary variation variance", "differ difference variance deviation", "prefer preference", "injure injury", "bury burial", "seize seizure",
    "closure close", "expose exposure", "propose proposal", "accept acceptance", "occur occurrence incident event",
    "happen occurrence incident event", "inherit inheritance heir", "ban block restriction", "forbid restriction", "forbidden restriction",
    "try attempt", "commit commitment", "promise commitment", "ongoing open active progress", "underway active progress",
    "discontinue discontinued", "missed absence", "chase reminder", "enforce enforcement", "tell notification", "recover collection",
    /* where and when */
    "city town municipality place", "nation country", "location place site", "street road address", "region area zone district territory",
    "state province", "floor storey level", "schedule timetable plan roster", "date day", "shift roster", "season period term",
    "duration length", "weight heavy kg", "height tall", "distance mileage km", "temperature heat cold", "weather climate",
    "speed fast velocity", "size dimension", "capacity space room seats", "color colour", "language tongue", "currency rate",
    "quantity number count amount", "percent share ratio", "due deadline", "electricity power energy kwh", "gas fuel", "water supply",
    "wind solar renewable", "oil petroleum", "category genre kind type class", "subject topic theme", "name title", "page view",
    "click tap", "skill qualification competence", "city town place location address", "neighborhood district area",
    "neighbourhood district area", "county district region", "place location venue", "where location address place",
    "origin source departure", "source origin channel", "destination target arrival", "route line", "building site",
    "site building project", "capacity maximum size limit", "size area", "area size sqm", "square area", "hour time", "minute duration",
    "duration length minutes hours", "long duration length", "wait waiting queue", "age birth born", "age dob birthdate",
    "old age birth built", "younger birth age", "older birth age", "young birth age", "old year", "new created start", "recent date",
    "quarter period", "month period", "year period", "semester term", "term semester period", "weekend date", "weekday day", "morning time",
    "frequency interval recurring", "percent percentage rate", "ratio rate", "minimum min", "maximum max", "priority urgency severity",
    "urgent priority urgency emergency", "severe severity serious", "severity level", "level severity grade tier", "tier level plan grade",
    "premium tier level", "sort kind type", "status state", "active status", "inactive status", "stage phase status",
    "progress percent complete", "version revision", "number code", "name title label", "description text", "language locale",
    "quality rating", "confidential privileged private secret", "public visible", "hidden private", "quantity amount volume",
    "busy traffic visit", "full capacity", "empty vacant free available", "available availability status", "occupied occupancy",
    "occupancy occupied stay", "vacancy opening vacant", "opening vacancy job", "cheap price", "expensive price", "cheapest price",
    "hot temperature", "rain weather precipitation", "snow weather", "sunny weather", "wind weather", "humid humidity",
    "nearby location distance", "close location distance", "far distance", "north region", "south region", "east region", "west region",
    "abroad country foreign", "overseas country foreign", "domestic country", "international country", "local city region",
    "postcode zip postal address", "coordinates latitude longitude location", "gps location coordinates", "morning shift", "night shift",
    "evening time", "christmas holiday date", "summer season", "winter season", "spring season", "autumn season", "annual year yearly",
    "monthly month", "weekly week", "daily day", "hourly hour", "quarterly quarter", "fiscal year period", "birthday birthdate dob",
    "anniversary date", "lifetime duration", "turnaround duration time", "response reply time", "latency duration time",
    "speed velocity rate", "throughput rate volume", "utilization usage rate capacity", "utilisation usage rate capacity",
    "occupancy rate capacity", "yield rate output", "efficiency rate performance", "performance result score rating",
    "kpi metric indicator", "metric measure indicator", "threshold limit", "range limit minimum maximum", "normal reference range",
    "abnormal reference range flag", "outlier range", "peak maximum", "record maximum",
    /* verbs that change, and what else is said of doing */
    "spent spend spending expense payment", "taught teach teacher course", "drove drive driver trip", "flew fly flight",
    "wrote write author", "broke broken break failure", "children child", "women woman gender sex", "men man gender sex",
    "female gender sex", "male gender sex", "spoke speak speaker", "held hold", "grew grow growth", "left leave quit terminate", "sat seat",
    "sit seat", "ate eat meal", "eat meal food", "drank drink", "met meet meeting", "stole theft", "threw throw", "won win winner",
    "beat win", "ran run", "rode ride trip", "went visit trip", "stayed stay", "slept stay", "fell fall accident", "caught catch",
    "chose choose selection", "choose selection choice", "select selection", "pick selection", "allow permission consent",
    "permission consent authorization", "agree agreement consent", "consent permission agreement", "opt consent", "carry load",
    "provide provider supplier", "serve service", "host hosting", "sponsor sponsorship", "finance financing loan", "fund funding finance",
    "own owner", "owned owner", "belong owner membership", "contain content", "pack package packaging", "wrap package", "label labeling",
    "store storage", "stored storage", "keep storage", "cool refrigerated temperature", "refrigerated cold temperature cooling",
    "freeze frozen", "frozen cold", "heat heating temperature", "cut reduction", "increase raise growth", "decrease reduction drop",
    "compare comparison", "rank ranking position", "classify classification class", "group category", "merge merger", "split division",
    "join membership", "unite union", "connect connection link", "relate relation relationship", "depend dependency",
    "require requirement prerequisite", "must mandatory required requirement", "mandatory required compulsory", "optional option",
    "needed requirement", "qualify eligibility", "eligible eligibility", "suspend suspension hold", "pause suspension hold",
    "paused suspended frozen hold", "freeze pause hold", "wait hold queue", "postpone reschedule delay", "reschedule change",
    "swap exchange", "translate translation language", "translated translation language", "answered answer reply",
    "unanswered answer reply open", "unread read", "unused used usage", "unsold sold stock", "unassigned assigned", "missing absent",
    "attend presence", "show attendance", "came attendance", "turn attendance", "visitor attendance admission visit",
    "footfall visit traffic", "transport transportation carrier shipment", "template form", "substation station", "process procedure",
    "system software", "standard norm", "transcript grade record", "phd doctorate doctoral doctor candidate", "gave give gift donation",
    "former past alumnus", "reserve reservation booking", "book booking", "built building", "train training", "rated rating evaluation",
    "post posting", "park parking", "read reading", "list listing", "seminar course class", "substance chemical material",
    "dangerous hazard risk", "dropout leave withdrawal", "semester term", "salary pay wage grade",
    "professor lecturer teacher instructor faculty", "paper publication article", "journal publication", "crash accident collision",
    "collision accident", "deadly fatal killed death", "fatal killed death", "killed death", "debt claim", "hygiene health",
    "restaurant food business", "rubbish waste garbage", "recycling waste", "bin container", "neighbor neighbour resident",
    "population resident citizen inhabitant", "citizenship nationality", "couple marriage spouse", "kid pupil",
    "daycare kindergarten nursery", "nursery kindergarten", "welfare benefit social", "homeless shelter", "brigade fire", "scene arrival",
    "grave cemetery plot", "drinking water", "pollutant substance emission", "roof building", "empty vacant", "crew staff employee",
    "onboard board aboard", "problem defect fault", "satisfied satisfaction survey rating", "shipper sender customer",
    "consignee recipient receiver", "traveller passenger", "landing arrival", "fleet aircraft", "divert diversion", "addon ancillary extra",
    "ancillary extra addon", "remaining left available"};

struct word {
  uint32_t term;
  uint16_t group;
  char word[WORD_BYTES], stem[WORD_BYTES];
};
static struct word words[WORDS_MAX];          /* group by group */
static const struct word *by_term[WORDS_MAX]; /* sorted by term */
static const struct word *by_word[WORDS_MAX]; /* sorted by the word itself */
static size_t word_count;

static int compare_terms(const void *a, const void *b) {
  const struct word *left = *(const struct word *const *)a, *right = *(const struct word *const *)b;
  return left->term != right->term ? (left->term > right->term) - (left->term < right->term) : (left > right) - (left < right);
}
static int compare_words(const void *a, const void *b) {
  const struct word *left = *(const struct word *const *)a, *right = *(const struct word *const *)b;
  int order = strcmp(left->word, right->word);
  return order ? order : (left > right) - (left < right);
}

static bool add_word(struct lexicon *lexicon, const char *word, size_t len, size_t group) {
  struct lexicon_list list;
  if (word_count == WORDS_MAX || len >= WORD_BYTES) return true;
  if (!lexicon_read(lexicon, word, len, &list)) return false;
  if (!list.count) return true;
  struct word *added = &words[word_count++];
  *added = (struct word){.term = wording_term(list.words[0].lexeme), .group = (uint16_t)group};
  snprintf(added->word, sizeof added->word, "%.*s", (int)len, word);
  snprintf(added->stem, sizeof added->stem, "%s", wording_stem(list.words[0].lexeme));
  return true;
}

static bool read_groups(void) {
  struct lexicon *lexicon = lexicon_shared();
  if (word_count) return true;
  for (size_t g = 0; lexicon && g < sizeof groups / sizeof *groups; g++)
    for (const char *at = groups[g]; *at; at += strspn(at, " ")) {
      size_t len = strcspn(at, " ");
      if (!add_word(lexicon, at, len, g)) return false;
      at += len;
    }
  for (size_t i = 0; i < word_count; i++) by_term[i] = by_word[i] = &words[i];
  qsort(by_term, word_count, sizeof *by_term, compare_terms);
  qsort(by_word, word_count, sizeof *by_word, compare_words);
  return word_count > 0;
}

bool synonyms_have(const char *word) {
  size_t low = 0, high = read_groups() ? word_count : 0;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(by_word[middle]->word, word);
    if (order == 0) return true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

bool synonyms_each(bool (*visit)(void *arg, const char *word), void *arg) {
  for (size_t i = 0; read_groups() && i < word_count; i++)
    if ((!i || strcmp(by_word[i - 1]->word, by_word[i]->word) != 0) && !visit(arg, by_word[i]->word)) return false;
  return true;
}

static size_t first_of(uint32_t term) {
  size_t low = 0, high = word_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (by_term[middle]->term < term)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The others of its group, which stand around it. */
static bool visit_group(const struct word *of, bool (*visit)(void *arg, const char *stem), void *arg) {
  const struct word *word = of;
  while (word > words && word[-1].group == of->group) word--;
  for (; word < words + word_count && word->group == of->group; word++)
    if (word->term != of->term && !visit(arg, word->stem)) return false;
  return true;
}

/* "overdue" speaks of what is due, "unpaid" of what is paid. */
static bool visit_inner(const char *stem, bool (*visit)(void *arg, const char *stem), void *arg) {
  static const char *const prefixes[] = {"over", "un", "non", "mis"};
  char inner[WORD_BYTES];
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
    size_t len = strlen(prefixes[i]), left = strlen(stem) > len ? strlen(stem) - len : 0;
    if (strncmp(stem, prefixes[i], len) != 0 || left < INNER_LEAST - 1 || left + 2 > sizeof inner) continue;
    snprintf(inner, sizeof inner, "%s%s", stem + len, left < INNER_LEAST ? "e" : "");
    return visit(arg, inner);
  }
  return true;
}

bool synonyms_of(const char *stem, uint32_t term, bool (*visit)(void *arg, const char *stem), void *arg) {
  if (!read_groups()) return true;
  if (!visit_inner(stem, visit, arg)) return false;
  for (size_t i = first_of(term); i < word_count && by_term[i]->term == term; i++)
    if (!visit_group(by_term[i], visit, arg)) return false;
  return true;
}
