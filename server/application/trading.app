type=script
scriptType=python
enabled=true
id=trading
name=Trading
file_0=receive_state.py
