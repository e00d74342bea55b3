-- worklist_of(name, text) -> list: a worklist of a plan has nodes, each with the first of its links
-- that is still to be followed, in no order that matters. The field of its name has a bounded
-- number of them and, after a plus, how many fields more there are below it: `7@1 3@51 +2` goes
-- on in NAME:2, and then in NAME:1. The list has the {number, first link} of the upper part
local function worklist_of(name, text)
  local list = {name = name, below = tonumber(string.match(text or '', '%+(%d+)$') or 0)}
  for number, first in string.gmatch(text or '', '(%d+)@(%d+)') do
    list[#list + 1] = {number, tonumber(first)}
  end
  return list
end
