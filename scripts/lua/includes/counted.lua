-- counted(words, at) -> list, after: a list in the arguments, with its length before it
local function counted(words, at)
  local list, said = {}, words[at] or ''
  local n = string.find(said, '^%d+$') and #said < 8 and tonumber(said) or #words
  if at + n > #words then error({err = 'ERR a list of the arguments is cut short'}) end
  for i = 1, n do list[i] = words[at + i] end
  return list, at + n + 1
end
