/* queue.pml - the queue's protocol, every interleaving of it, for spin (tests/model/run).
 *
 * Actions carry the names of the code: accept and ring (api/submit.c), read, claim, ack (worker/claim.c, bell.c), finish and give_back
 * (worker/finish.c), sweep_lease, sweep_lost (worker/sweep.c). A database statement is one atomic step; what lies between two of them is where
 * processes die. One job and two workers are enough: jobs share nothing but the stream, whose entries for others change nothing here.
 *
 * Faults, each bounded so that histories end: a worker killed at any point, a lease that runs out while its worker still runs (a zombie), Redis
 * emptied, a ring that is lost, a ring that is sent twice, the API killed between COMMIT and reply.
 *
 * Proved: the job never has two results; none is of an attempt below the last one claimed (assertions); what was answered 202 ends, whatever
 * happened (no_loss, under weak fairness). */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef ZOMBIES
#define ZOMBIES 2
#endif
#ifndef FLUSHES
#define FLUSHES 1
#endif
#ifndef LOST_RINGS
#define LOST_RINGS 2
#endif
#ifndef DOUBLE_RINGS
#define DOUBLE_RINGS 1
#endif
#ifndef FAILURES
#define FAILURES 1
#endif
#define WORKERS 2
#define NOBODY 9

/* Each of these takes a safeguard away; tests/model/run expects spin to find what goes wrong then. */
#ifdef WITHOUT_FENCE
#define IS_OURS (state == running)
#else
#define IS_OURS (state == running && attempt == token && owner == me)
#endif
#ifdef WITHOUT_SWEEP
#define LOST false
#else
#define LOST (state == queued && entries == 0 && pending == 0)
#endif
#ifdef WITHOUT_LEASES
#define EXPIRED false
#else
#define EXPIRED (state == running && lease_over)
#endif

mtype = { absent, queued, running, ended };
mtype state = absent; /* the row in autodb.queue; `ended`: the one in autodb.results */
byte attempt;         /* the fence */
byte owner = NOBODY;  /* lease_owner */
bool lease_over;      /* lease_until < now() */
byte results;
bool answered; /* 202 */
byte entries;  /* unread in the stream */
byte pending;  /* read and not acknowledged */
bool runs[WORKERS];

byte kills = KILLS, zombies = ZOMBIES, flushes = FLUSHES, lost_rings = LOST_RINGS, double_rings = DOUBLE_RINGS, failures = FAILURES;

inline ring() {
  if
  :: entries < 2 -> entries++
  :: entries < 1 && double_rings > 0 -> double_rings--; entries = 2
  :: lost_rings > 0 -> lost_rings--
  :: entries == 2 -> skip
  fi
}

/* The row leaves the queue and its result appears, in one statement. */
inline publish(of_attempt) {
  assert(of_attempt == attempt);
  results++;
  assert(results == 1);
  state = ended;
  owner = NOBODY
}

proctype api() {
  atomic { state = queued } /* accept: the commit */
  if
  :: atomic { answered = true; ring() }
  :: atomic { kills > 0 -> kills-- } /* killed before the reply: nothing was promised, nobody rings */
  fi
}

proctype worker(byte me) {
  byte token;
read:
  atomic { entries > 0 -> entries--; pending++ }
claim:
  if
  :: atomic {
       state == queued ->
       state = running; attempt++; owner = me; lease_over = false; token = attempt; runs[me] = true
     }
  :: state != queued -> skip
  :: atomic { kills > 0 -> kills--; goto killed } /* read, never claimed: the entry stays pending, takeover finds it */
  fi;
ack:
  if
  :: atomic {
       if
       :: pending > 0 -> pending--
       :: else
       fi
     }
  :: atomic { kills > 0 -> kills--; goto killed }
  fi;
  if
  :: token == 0 -> goto read
  :: token > 0
  fi;
finish:
  if
  :: atomic {
       runs[me] = false;
       if
       :: IS_OURS -> publish(token)
       :: else /* fenced: a newer attempt owns the job */
       fi;
       token = 0; goto read
     }
  :: atomic { /* give_back: it failed and may be tried again */
       failures > 0 -> failures--; runs[me] = false;
       if
       :: IS_OURS -> state = queued; owner = NOBODY
       :: else
       fi;
       token = 0; goto read
     }
  :: atomic { kills > 0 -> kills--; goto killed }
  fi;
killed: /* another one takes its place; its name makes no difference here */
  atomic { runs[me] = false; token = 0; goto read }
}

/* XAUTOCLAIM: what was read and never acknowledged comes back, at the latest when nothing else is to be had. */
proctype takeover() {
end:
  do
  :: atomic { pending > 0 && entries == 0 && state == queued -> pending--; entries++ }
  od
}

proctype time() {
end:
  do
  :: atomic { state == running && !lease_over && !runs[owner] -> lease_over = true }
  :: atomic { state == running && !lease_over && runs[owner] && zombies > 0 -> zombies--; lease_over = true }
  od
}

proctype sweeper() {
end:
  do
  :: atomic { /* sweep_lease */
       EXPIRED -> state = queued; owner = NOBODY; lease_over = false; ring()
     }
  :: atomic { LOST -> ring() } /* sweep_lost */
  od
}

proctype redis() {
  if
  :: atomic { flushes > 0 -> flushes--; entries = 0; pending = 0 }
  :: skip
  fi
}

init {
  atomic { run api(); run worker(0); run worker(1); run takeover(); run time(); run sweeper(); run redis() }
}

ltl no_loss { [] (answered -> <> (state == ended)) }
