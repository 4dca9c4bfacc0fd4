-- uses: prelude view ends reap
-- ARGV dead wid. For a predecessor on the same host whose process is known to be gone.
shrink()
reap(ARGV[1])
return {1}
