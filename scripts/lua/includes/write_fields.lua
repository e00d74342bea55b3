-- write_fields(key, pairs, names): set fields of a hash and remove others, however many
local WRITE_FIELDS_LIMIT = 2000
local function write_fields(key, pairs, names)
  for i = 1, #pairs, WRITE_FIELDS_LIMIT do
    redis.call('HSET', key, unpack(pairs, i, math.min(i + WRITE_FIELDS_LIMIT - 1, #pairs)))
  end
  for i = 1, #names, WRITE_FIELDS_LIMIT do
    redis.call('HDEL', key, unpack(names, i, math.min(i + WRITE_FIELDS_LIMIT - 1, #names)))
  end
end
