-- place_of(number, total) -> int: the bit of a node in the bitmap of a walk. Later nodes stand
-- first: that is the order in which reverts are counted, and bits are found one after the other
local function place_of(number, total)
  return total - 1 - tonumber(number)
end
