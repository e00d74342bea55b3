-- FINISHED[state]: an atom in this state is done, as far as the flow's success goes
local FINISHED = {SUCCESS = true, IGNORE = true}
