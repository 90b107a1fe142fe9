/* queue.pml - the queue's protocol, every interleaving of it, for spin (tests/model/run).
 *
 * Actions carry the names of the code: accept and ring (api/submit.c), read, claim, ack (worker/claim.c, bell.c), finish and give_back
 * and release (worker/finish.c), astray and cancel_queued (worker/claim.c), sweep_lease, sweep_lost (worker/sweep.c), claim_capped, next_turns (schema/0006_steering.sql), cancel_job and retry_job
 * (api/res_jobs.c). A database statement is one atomic step; what lies between two of them is where processes die. One job and two workers are
 * enough: jobs share nothing but the stream, whose entries for others change nothing here.
 *
 * Faults, each bounded so that histories end: a worker killed at any point, a lease that runs out while its worker still runs (a zombie), Redis
 * emptied, a ring that is lost, a ring that is sent twice, an entry taken over from a worker that is only slow, a claim whose answer is lost (it
 * has committed, or commits when nobody waits for it any more), the API killed between COMMIT and reply, a crash of Postgres that forgets a claim
 * whose commit did not wait for the disk (a worker that claims ahead of its slots may then hold the job twice: -DTWICE runs it as two). Its
 * kind may be paused, and its owner's other jobs may take up all the room there is for a while.
 *
 * Proved: the job never has two results, but for a retry by its owner, which takes the first away; none is of an attempt below the last one
 * claimed (assertions); what was answered 202 ends, whatever happened (no_loss, under weak fairness). */
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
#ifndef RELEASES
#define RELEASES 1
#endif
#ifndef SLOW
#define SLOW 1
#endif
#ifndef ASTRAY
#define ASTRAY 1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef PAUSES
#define PAUSES 0
#endif
#ifndef TURNS
#define TURNS 0
#endif
#define WORKERS 2
#define NOBODY 9

/* Each of these takes a safeguard away; tests/model/run expects spin to find what goes wrong then. */
#ifdef WITHOUT_FENCE
#define IS_OURS (state == running)
#else
#define IS_OURS (state == running && attempt == token && owner == me)
#endif
/* A finish that commits without waiting for the disk, too: its result is told, forgotten, and told anew. */
#ifdef WITHOUT_FLUSH
#define FINISH_FLUSHES false
#else
#define FINISH_FLUSHES true
#endif
#ifdef WITHOUT_SWEEP
#define LOST false
#else
#define LOST (state == queued && entries == 0 && pending == 0 && !paused && !waits)
#endif
/* A claim would start what its owner was told is cancelled. Either guard is enough: what goes back to the queue ends there, and is not claimed. */
#ifdef WITHOUT_CANCEL_GUARDS
#define MAY_CLAIM (state == queued && !paused && !no_room)
#define ENDS_THERE false
#else
#define MAY_CLAIM (state == queued && !cancel_requested && !paused && !no_room)
#define ENDS_THERE cancel_requested
#endif
/* Who waits for a turn is rung by whoever ends a job of the same owner, and who dies before that leaves it to the sweeper. */
#ifdef WITHOUT_TURNS_SWEEP
#define FORGOTTEN false
#else
#define FORGOTTEN (waits && !no_room && !paused && state == queued)
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
bool soft;            /* the newest commit is not on the disk yet; each commit that waits takes those before it along */
byte results;
byte told;     /* results that clients heard of, since the owner's last retry */
bool answered; /* 202 */
byte entries;  /* unread in the stream */
byte pending;  /* read and not acknowledged */
byte runs[WORKERS]; /* how many tasks of it hold the job */
bool cancel_requested;
bool paused;   /* its kind or lane: a row in autodb.pauses */
bool no_room;     /* others of its owner's run, as many as may */
bool waits;    /* a row without an attempt in autodb.turns */
bool late[WORKERS]; /* a claim that was given up here and has yet to commit there */

byte kills = KILLS, zombies = ZOMBIES, flushes = FLUSHES, lost_rings = LOST_RINGS, double_rings = DOUBLE_RINGS, failures = FAILURES;
byte pauses = PAUSES, turns = TURNS;
byte releases = RELEASES, crashes = CRASHES, slow = SLOW, astray = ASTRAY, cancels = CANCELS, retries = RETRIES;

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
  told++;
  assert(told == 1);
  state = ended;
  owner = NOBODY;
  soft = !FINISH_FLUSHES
}

/* Nobody's any more; one that its owner wants cancelled ends here. */
inline back_to_queue() {
  if
  :: ENDS_THERE -> publish(attempt)
  :: else -> state = queued; owner = NOBODY; lease_over = false; soft = false; ring()
  fi
}

inline take(who) {
  assert(!cancel_requested && !paused && !no_room); /* nothing begins that was cancelled before, is paused, or has no room */
  waits = false;
  state = running; attempt++; owner = who; lease_over = false; soft = true
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
  :: atomic { MAY_CLAIM -> take(me); token = attempt; runs[me]++ }
  :: atomic { state == queued && cancel_requested -> publish(attempt) } /* cancel_queued */
  :: state != queued -> skip
  :: atomic { state == queued && !cancel_requested && paused -> skip } /* acknowledged: whoever resumes has it rung for */
  :: atomic { state == queued && !cancel_requested && !paused && no_room -> waits = true } /* claim_capped */
  :: atomic { astray > 0 && MAY_CLAIM -> astray--; take(me); goto look } /* it has committed, and the answer is lost */
  :: atomic { astray > 0 && MAY_CLAIM -> astray--; late[me] = true; goto look }
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
  :: false -> /* reached from a claim without an answer only */
look:
       if
       :: atomic { state == running && owner == me && !runs[me] -> back_to_queue() } /* astray: not held here */
       :: atomic { !(state == running && owner == me && !runs[me]) -> skip }
       fi;
       goto claim /* what was read is sent again */
  :: token == 0 -> goto read
  :: token > 0
  fi;
finish:
  if
  :: atomic {
       runs[me]--;
       if
       :: IS_OURS -> publish(token)
       :: else /* fenced: a newer attempt owns the job */
       fi;
       token = 0; goto read
     }
  :: atomic { /* give_back: it failed and may be tried again */
       failures > 0 -> failures--; runs[me]--;
       if
       :: IS_OURS -> back_to_queue()
       :: else
       fi;
       token = 0; goto read
     }
  :: atomic { /* release: the worker shuts down */
       releases > 0 -> releases--; runs[me]--;
       if
       :: IS_OURS -> back_to_queue()
       :: else
       fi;
       token = 0; goto read
     }
  :: atomic { kills > 0 -> kills--; goto killed }
  fi;
killed: /* another one takes its place; its name makes no difference here */
  atomic {
    if
    :: token > 0 -> runs[me]--
    :: else
    fi;
    token = 0; goto read
  }
}

/* XAUTOCLAIM: what was read and never acknowledged comes back, at the latest when nothing else is to be had. */
proctype takeover() {
end:
  do
  :: atomic { pending > 0 && entries == 0 && state == queued -> pending--; entries++ }
  :: atomic { pending > 0 && entries < 2 && slow > 0 -> slow--; pending--; entries++ }
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
       EXPIRED -> back_to_queue()
     }
  :: atomic { LOST -> ring() } /* sweep_lost */
  :: atomic { FORGOTTEN -> waits = false; ring() } /* next_turns */
  od
}

/* A server goes on with what nobody waits for any more. */
proctype backend() {
end:
  do
  :: atomic { late[0] -> late[0] = false; if :: MAY_CLAIM -> take(0) :: else fi }
  :: atomic { late[1] -> late[1] = false; if :: MAY_CLAIM -> take(1) :: else fi }
  od
}

/* Whoever submitted the job. */
proctype client() {
end:
  do
  :: atomic { /* cancel_job */
       cancels > 0 && answered -> cancels--;
       if
       :: state == queued -> publish(attempt)
       :: state == running -> cancel_requested = true; soft = false
       :: else
       fi
     }
  :: atomic { /* retry_job: the result goes, the row comes back, in one statement */
       retries > 0 && state == ended -> retries--; results = 0; told = 0; cancel_requested = false; state = queued; soft = false; ring()
     }
  od
}

/* Whoever runs the installation, and the owner's other jobs. */
proctype others() {
end:
  do
  :: atomic { pauses > 0 && !paused -> pauses--; paused = true }
  :: atomic { paused -> paused = false }
  :: atomic { turns > 0 && !no_room && state != running -> turns--; no_room = true }
  :: atomic { /* one of them ends, and its worker calls the next */
       no_room -> no_room = false;
       if
       :: waits && state == queued && !paused -> waits = false; ring()
       :: !(waits && state == queued && !paused) -> skip
       :: kills > 0 -> kills-- /* before it did */
       fi
     }
  od
}

/* What was not on the disk has not been: the row is as it was before. Whoever holds the job hears nothing of it. */
proctype postgres() {
end:
  do
  :: atomic {
       crashes > 0 && soft -> crashes--; soft = false;
       if
       :: state == running -> attempt--
       :: else -> results = 0
       fi;
       state = queued; owner = NOBODY; lease_over = false
     }
  od
}

proctype redis() {
  if
  :: atomic { flushes > 0 -> flushes--; entries = 0; pending = 0 }
  :: skip
  fi
}

init {
  atomic { run api(); run worker(0); run worker(1); run takeover(); run time(); run sweeper(); run backend(); run client(); run others(); run postgres(); run redis();
#ifdef TWICE
    run worker(0)
#endif
  }
}

ltl no_loss { [] (answered -> <> (state == ended)) }
