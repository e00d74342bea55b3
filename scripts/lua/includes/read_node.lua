--- @include "read"
-- read_node(number) -> node: its kind is f or e (gates at a flow's ends), t (task), r (retry);
-- asks: deciders are asked before it is executed; after, before: see links
local function read_node(number)
  local text = read('HGET', keys.graph, number) or ''
  local kind, asks, priority, uuid, after, before =
    string.match(text, '^(%a)(%??)|(%-?%d+)|([^|]*)|(%*?[%d,]*)|(%*?[%d,]*)$')
  if not kind then
    error({err = 'CORRUPT ' .. keys.graph .. ' node ' .. number .. ' is not understood'})
  end
  return {
    number = number, kind = kind, gate = kind == 'f' or kind == 'e', asks = asks ~= '',
    priority = tonumber(priority), uuid = uuid, after = after, before = before,
  }
end
