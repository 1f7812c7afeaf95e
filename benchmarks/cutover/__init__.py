"""What following and the cutover cost the application: its writes, and its longest pause."""
