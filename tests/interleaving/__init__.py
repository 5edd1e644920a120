"""Every interleaving of two storage operations on PostgreSQL, statement by statement.

SQLite has one writer, so there two transactions never meet. On PostgreSQL they do, and whatever
order their statements come in, no promise may break. Here that is not a matter of luck: two
operations run in threads of their own, are held before each statement and before each commit, and
somebody decides who goes on; all decisions that can make a difference are tried, one run each.

`steps` says what a statement touches and which steps of two transactions can change places without
anybody noticing; `driving` runs one schedule; `exploring` goes through all of them; `stage` has the
database and puts it back as it was; `scenes` and `operations` say what meets what, and `cases` in
which pairs; `judge` and `draining` hold what came of it against the promises; `running` does all of
that for a case.

    python -m tests.interleaving                      every case of every pair
    python -m tests.interleaving --pair fold record   one pair

What it does not see: interleavings in the middle of a statement, and of the rows that one call to
the driver writes one by one (they have been locked before). And it tries two at a time, not three.
"""
