-- int(number) -> string: an argument for a command. Redis writes numbers that it is given
-- as if they had fractions, which takes ten times as long
local function int(number)
  return string.format('%d', number)
end
