"""Reading runs for people: what is there, how it stands, and why it waits.

================  ================================================================
`listing`         all runs of a namespace, the newest first
`flows`           finding a flow by what a person knows of it, and reading it
`atoms`           what a record tells of an atom; ``failures`` what of a failure
`waits`           what atoms wait for; ``nesting`` which flow each node is in
`situation`       all that decides what is handed out next
`reasons`         why a run does not go on; ``work_reasons`` why no faster,
                  ``atom_reasons`` why an atom is not further
`unreadable`      values that this process cannot read, shown as such
`clock`           the server's clock, by which all times are
`texts`           how names, messages, times and workers are written
================  ================================================================

Only reads, and prints nothing: how it is shown is up to the command that asks. What
takes several round trips is not of one moment.
"""
