-- uses: prelude view
-- ARGV wid, jobs in its hands "id id..." -> {how many views were written}
-- What a person sees of jobs that take their time: the other moves write the view of a
-- job that they end, put off or send back, no other does.
local n = 0
for id in string.gmatch(ARGV[2], '%S+') do
  if call('HGET', job(id), 'owner') == ARGV[1] then
    view(id)
    n = n + 1
  end
end
return {n}
