#!lua flags=no-writes
--[[
  Read one atom with its results.

  KEYS
    flow    hash  the flow itself
    atom    hash  the atom
    result  hash  its results

  RETURNS
    {'OK', atom, result}  both hashes, flat
    {'UNKNOWN'}           no such atom
    {'GONE'}              no such flow
    {'SCHEMA', n}         a newer version wrote it
]]
--- @include "open_flow"
local flow, refusal = open_flow()
if not flow then return refusal end
local atom, result = read('HGETALL', keys.atom), read('HGETALL', keys.result)
if not atom[1] then return {'UNKNOWN'} end
return {'OK', atom, result}
