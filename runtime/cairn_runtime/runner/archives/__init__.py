"""Archives: runs as a file, from any store into any other.

    lines       one line of the file and what it stands for; checks everything that is read
    exporting   a store's runs as lines
    reading     lines as an archive: header, trailer, the digest of all
    ahead       reading on a thread of its own
    importing   lines as a store's runs, proved while they come; `arrivals` is one of them
    files       compressing, bounded reading, names with a date

Format 1: JSON lines in zstd frames (plain lines are read too). First a header, then for each run

    run, then in the order of seqs: gap (what a prune took before the next one), checkpoint, left; then end

and a trailer with counts and the SHA-256 of all bytes before it: without it the file was cut short.
A `left` line says what could not be exported and why; with a run alone it ends that run.
Payloads stay as they were stored: what is encrypted stays encrypted.
Who calls: the command line.
"""
