-- halt_flow(flow, payload): stop the run for this failure; what is held drains, then it ends
local function halt_flow(flow, payload)
  flow.halt = flow.halt + 1
  local row = flow.fields
  row[#row + 1] = 'halt'
  row[#row + 1] = flow.halt
  row[#row + 1] = 'halt:' .. flow.halt
  row[#row + 1] = payload
end
