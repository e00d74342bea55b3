-- counted(words, at) -> list, after: a list in the arguments, with its length before it
local function counted(words, at)
  local list, n = {}, tonumber(words[at])
  for i = 1, n do list[i] = words[at + i] end
  return list, at + n + 1
end
