"""The log of a recording, read: call records as rows, what these read and write, and whose memory that is."""
