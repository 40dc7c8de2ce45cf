"""Do sdrt and other tools open each other's model folders, and make the same pictures?"""
