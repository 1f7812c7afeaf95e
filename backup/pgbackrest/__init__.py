"""pgBackRest's part: its commands, what its repository says, and the schedule of the container."""
