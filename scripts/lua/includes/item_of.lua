-- item_of(number, what) -> string: the name of a work item; names sort by node number
local function item_of(number, what)
  return string.format('%08d:%s', number, what)
end
